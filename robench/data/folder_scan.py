"""What a folder of images holds: its splits, classes and files, and the header of each file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from robench.data.digests import file_digest
from robench.data.sources import DECODING_ERRORS, IMAGE_FORMATS
from robench.errors import UserError, nearest

_SUFFIXES = (".jpg", ".jpeg", ".png")
_SPLIT_OF = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
_GREY_MODES = ("1", "L", "LA")
_ENDS = (b"\xff\xd9", b"IEND\xaeB`\x82")
_WORKERS = 8


@dataclass(frozen=True)
class ImageFile:
    """A file with its label, size (height, width) in pixels, and digest of its bytes."""

    path: Path
    label: int
    size: tuple[int, int]
    colour: bool
    digest: bytes


def split_folders(root: Path) -> dict[str, Path]:
    """The folders of the splits below `root`, in the order train, validation, test.

    UserError where two folders mean one split, or where a name is close to that of a split
    which is missing.
    """
    found: dict[str, Path] = {}
    others = []
    for folder in _folders(root):
        split = _SPLIT_OF.get(folder.name.lower())
        if split is None:
            others.append(folder)
        elif split in found:
            raise UserError(
                f"two folders mean the {split} split",
                where=str(root),
                got=[found[split].name, folder.name],
            )
        else:
            found[split] = folder
    if found:
        missing = [name for name, split in _SPLIT_OF.items() if split not in found]
        for folder in others:
            close = nearest(folder.name.lower(), missing)
            if close:
                raise UserError(
                    "unknown folder beside the splits", where=str(folder), nearest=close
                )
    return {split: found[split] for split in dict.fromkeys(_SPLIT_OF.values()) if split in found}


def class_folders(folder: Path) -> tuple[str, ...]:
    """The sorted names of the folders in `folder`; names that begin with "." or "__" are left."""
    return tuple(found.name for found in _folders(folder))


def list_files(folder: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    """The image files of each class folder with the class number, sorted by class and name."""
    files: list[tuple[Path, int]] = []
    for label, name in enumerate(classes):
        held = [
            file
            for file in inside(folder / name)
            if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".")
        ]
        if not held:
            raise UserError(
                "the class folder holds no images",
                where=str(folder / name),
                expected="files " + ", ".join(f"*{suffix}" for suffix in _SUFFIXES),
            )
        files += [(file, label) for file in held]
    return files


def read_headers(files: Sequence[tuple[Path, int]]) -> list[ImageFile]:
    """Size, mode and digest of each file, in order; UserError names a file that is no image.

    A file without the last bytes of a JPEG or PNG is decoded, since it may have been cut.
    """
    with ThreadPoolExecutor(_WORKERS) as pool:
        return list(pool.map(_read_header, files))


def _read_header(file: tuple[Path, int]) -> ImageFile:
    path, label = file
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content), formats=IMAGE_FORMATS) as picture:
            (width, height), mode = picture.size, picture.mode
            if not content.endswith(_ENDS):
                picture.load()
    except DECODING_ERRORS as error:
        reason = "cannot identify it" if isinstance(error, UnidentifiedImageError) else error
        raise UserError(
            f"not a readable image ({reason})", where=str(path), expected="a JPEG or PNG file"
        ) from error
    if mode.startswith(("I", "F")):
        raise UserError(
            "images of more than 8 bits per channel are not supported",
            where=str(path),
            got=f"mode {mode}",
            expected="8 bits: choose the window and convert them",
        )
    return ImageFile(path, label, (height, width), mode not in _GREY_MODES, file_digest(content))


def _folders(root: Path) -> list[Path]:
    return [
        found
        for found in inside(root)
        if found.is_dir() and not found.name.startswith((".", "__"))
    ]


def inside(folder: Path) -> list[Path]:
    """What a folder holds, by name. Raises UserError where it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise UserError(
            f"the folder cannot be read ({error.strerror})", where=str(folder)
        ) from error
