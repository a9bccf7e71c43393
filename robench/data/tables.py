"""Tables of labels (CSV) beside folders of images, as Kaggle and ISIC publish them."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from robench.data.download import Download
from robench.data.folder_scan import inside
from robench.errors import MissingDataError, UserError

_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")


def read_table(file: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a CSV file with a header, each with its place, as `file:line`.

    Raises UserError where the file is unreadable, or lacks one of `columns` or a value of one.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.DictReader(opened, skipinitialspace=True)
            header = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            for column in columns:
                if column not in header:
                    raise UserError(
                        f"the table has no column '{column}'", where=str(file), got=header
                    )
            for row in reader:
                place = f"{file}:{reader.line_num}"
                for column in columns:
                    if not (row[column] or "").strip():
                        raise UserError(f"no value of '{column}'", where=place)
                yield place, {column: row[column].strip() for column in columns}
    except OSError as error:
        raise UserError(f"cannot read the table: {error.strerror}", where=str(file)) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"not a table of comma-separated values: {error}", where=str(file)
        ) from error


def number(value: str, *, column: str, place: str, classes: int) -> int:
    """`value` as a class number 0..classes-1 ("1.0" is 1), or UserError."""
    try:
        found = float(value)
    except ValueError:
        found = -1.0
    if found not in range(classes):
        raise UserError(
            f"unfit value of '{column}'", where=place, got=value, expected=f"0 to {classes - 1}"
        )
    return int(found)


class ImageIndex:
    """The image files in some folders of a download ("" is itself), by name without the ending."""

    def __init__(self, download: Download, root: Path, folders: Sequence[str]) -> None:
        self._download = download
        self._root = root
        self._folders = folders
        places = [
            folder for pattern in folders
            for folder in (sorted(root.glob(pattern)) if pattern else [root]) if folder.is_dir()
        ]
        self._files: Mapping[str, Path] = {
            path.stem: path
            for folder in reversed(places)  # where two hold a name, the first counts
            for path in reversed(inside(folder))
            if path.suffix.lower() in _SUFFIXES
        }

    def __getitem__(self, name: str) -> Path:
        """The file of the image `name`, with or without an ending, or MissingDataError."""
        known = Path(name).suffix.lower() in _SUFFIXES
        found = self._files.get(Path(name).stem if known else name)
        if found is None:
            folders = ", ".join(folder for folder in self._folders if folder)
            raise MissingDataError(self._download.missing(
                f"data set '{self._download.name}' is not whole: "
                f"no image '{name}' in '{self._root}' ({folders})"
            ))
        return found
