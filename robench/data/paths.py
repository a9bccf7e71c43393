"""Where a user's data lies: a path as given, else below the folder that ROBENCH_DATA names."""

from __future__ import annotations

import os
from pathlib import Path

from robench.errors import UserError, nearest


def data_folder() -> Path | None:
    """The folder that the environment variable ROBENCH_DATA names, or None."""
    named = os.environ.get("ROBENCH_DATA")
    return Path(named).expanduser() if named else None


def resolve(path: str | os.PathLike[str] | None, *, where: str) -> Path:
    """The existing file or folder that `path` means.

    A relative path is looked for in the working directory, then in ROBENCH_DATA; "~" is the
    home folder. UserError names the places tried and the nearest name there.
    """
    if path is None or isinstance(path, bool) or not isinstance(path, (str, os.PathLike)):
        raise UserError("a path is needed", where=where, got=path, expected="a file or folder")
    try:
        given = Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(str(error), where=where, got=str(path)) from error
    roots = [Path.cwd()] if data_folder() is None else [Path.cwd(), data_folder()]
    tried = list(dict.fromkeys(root / given for root in roots if root is not None))
    for candidate in tried:
        if candidate.exists():
            return candidate
    places = " and ".join(f"'{candidate}'" for candidate in tried)
    hint = "" if given.is_absolute() or data_folder() else " (ROBENCH_DATA is not set)"
    raise UserError(
        f"no such file or folder: looked for {places}{hint}", where=where, nearest=_nearest(tried)
    )


def _nearest(tried: list[Path]) -> str | None:
    for candidate in tried:
        if candidate.parent.is_dir():
            close = nearest(candidate.name, (found.name for found in candidate.parent.iterdir()))
            if close:
                return str(candidate.with_name(close))
    return None
