"""Public data sets that a user downloads: where their files lie, and what is told if they do not.

Nothing is fetched: their pages ask for an account or an agreement.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from robench.data.paths import data_folder
from robench.errors import Missing, MissingDataError, UserError

_DEPTH = 2


@dataclass(frozen=True)
class Download:
    """A download as its page gives it.

    `source`: the name of the page, with its URL or DOI. `layout`: one line for a person.
    `folders`: the names a folder of it usually has. `holds`: the files and folders by which it is
    known, relative to it; "*" stands for any part of a name.
    """

    name: str
    source: str
    layout: str
    folders: tuple[str, ...]
    holds: tuple[str, ...]

    def find(self, path: str | os.PathLike[str] | None) -> Path:
        """The folder that holds it: `path`, or one of `folders`, or a folder inside.

        A relative one is looked for in the working directory, then in ROBENCH_DATA. Archives often
        wrap a folder in a folder, so two levels inside are looked at as well. Raises
        MissingDataError where nothing is found.
        """
        named = self.folders if path is None else (os.fspath(path),)
        places = [Path.cwd(), *([folder] if (folder := data_folder()) else [])]
        try:
            tried = list(dict.fromkeys(
                place / Path(name).expanduser() for name in named for place in places
            ))
        except RuntimeError as error:
            raise UserError(str(error), where=f"{self.name}: path", got=path) from error
        for folder in tried:
            for inside in chain([folder], _inside(folder, _DEPTH)):
                if self._is_whole(inside):
                    return inside
        raise MissingDataError(self.missing(self._complaint(named, tried)))

    def missing(self, what: str) -> Missing:
        """What is told of a file or folder of it that is not there."""
        return Missing(self.name, what, self.source, self.layout)

    def _complaint(self, named: tuple[str, ...], tried: list[Path]) -> str:
        file = next((place for place in tried if place.is_file()), None)
        if file is not None:
            return f"data set '{self.name}' is not found: '{file}' is a file: unpack an archive"
        there = [folder for folder in tried if folder.is_dir()]
        if there:
            lacks = next(held for held in self.holds if not any(there[0].glob(held)))
            return f"data set '{self.name}' is not whole: '{there[0]}' holds no '{lacks}'"
        known = data_folder()
        base = "$ROBENCH_DATA, which is not set" if known is None else f"ROBENCH_DATA '{known}'"
        absolute = all(Path(name).expanduser().is_absolute() for name in named)
        places = "" if absolute else f" in '{Path.cwd()}' and {base}"
        return (f"data set '{self.name}' is not found: looked for "
                f"{', '.join(repr(name) for name in named)}{places}")

    def _is_whole(self, folder: Path) -> bool:
        return all(any(folder.glob(held)) for held in self.holds)


def _inside(folder: Path, depth: int) -> Iterator[Path]:
    """The folders below, nearest first; those a Mac leaves in archives and hidden ones are not."""
    level = [folder]
    for _ in range(depth):
        level = [
            found for parent in level for found in _folders(parent)
            if not found.name.startswith((".", "__"))
        ]
        yield from level


def _folders(parent: Path) -> list[Path]:
    try:
        with os.scandir(parent) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir())
    except OSError:  # no folder, or not to be read: it holds nothing of use
        return []
