"""folder: a data set of JPEG and PNG files in class folders, decoded when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from robench.data.dataset import Dataset
from robench.data.folder_scan import class_folders, list_files, read_headers, split_folders
from robench.data.image_files import splits_of
from robench.data.options import Options, groups_of
from robench.data.paths import resolve
from robench.data.split import divide
from robench.errors import UserError, nearest


def folder(
    *,
    path: str | os.PathLike[str] | None = None,
    image_size: int | None = None,
    channels: int | None = None,
    limit: Mapping[str, int] | None = None,
    validation: float | None = None,
    group_pattern: str | None = None,
    split: Mapping[str, float] | None = None,
) -> Dataset:
    """The data set in the folder at `path`: `train/NORMAL/a.jpeg`, `test/PNEUMONIA/b.png`, …

    Splits are the folders train, val (valid, validation) and test; without them the folders
    at `path` are the classes, divided by the fractions `split` (None: train 0.7, validation
    0.15, test 0.15). Classes are the sorted folder names. Image ids are the paths below `path`.
    `image_size` is needed where images differ in size. `channels` None: colour (3) if the first
    image of any class is stored in colour, else grey (1); the others are converted. EXIF
    orientation is ignored. `group_pattern`: a regular expression on the file name; its first
    group (or match) is the group id. The other options are those of Options.
    All files are read once for their hash and header. Raises UserError naming the file.
    """
    options = Options(
        "folder", image_size=image_size, channels=channels, limit=limit, validation=validation
    )
    root = resolve(path, where="folder: path")
    _check_folder(root)
    held = split_folders(root)
    if held and split is not None:
        raise UserError(
            "the folder already has splits",
            where="folder: split",
            got=list(held),
            expected="null: leave the option out",
        )
    classes = _classes(held or {"": root}, root)
    files = {name: list_files(where, classes) for name, where in (held or {"": root}).items()}
    scanned = {name: read_headers(found) for name, found in files.items()}
    groups = {
        name: groups_of([file.path.name for file in part], group_pattern, where="folder")
        for name, part in scanned.items()
    } if group_pattern is not None else None
    parts = splits_of(scanned, root, image_size=image_size, channels=channels, groups=groups)
    if not held:
        parts = divide(parts[""], split, where="folder: split")
    return options.apply(parts, class_names=classes)


def _check_folder(root: Path) -> None:
    if root.is_dir():
        return
    packed = root.name.lower().endswith((".tar", ".tar.gz", ".tgz", ".zip", ".7z", ".rar"))
    raise UserError(
        "is an archive: unpack it and give the folder" if packed else "is not a folder",
        where=str(root),
        expected="a folder",
    )


def _classes(splits: Mapping[str, Path], root: Path) -> tuple[str, ...]:
    found = {name: class_folders(where) for name, where in splits.items()}
    for name, classes in found.items():
        if len(classes) < 2:
            inside = root / classes[0] if classes and not name else None
            deeper = inside is not None and bool(split_folders(inside) or class_folders(inside))
            raise UserError(
                "a data set needs two class folders or more",
                where=str(splits[name]),
                got=list(classes),
                nearest=str(inside) if deeper else None,
            )
    first, reference = next(iter(found.items()))
    for name, classes in found.items():
        unlike = sorted(set(reference) ^ set(classes))
        if unlike:
            missing = name if unlike[0] in reference else first
            raise UserError(
                f"the classes of the splits differ: '{missing}' has no '{unlike[0]}'",
                where=str(root),
                got={split: list(held) for split, held in found.items()},
                nearest=nearest(unlike[0], found[missing]),
            )
    return reference
