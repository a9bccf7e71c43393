"""Image files with their labels, from class folders or tables, as a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robench.data.dataset import Dataset
from robench.data.folder_scan import class_folders, list_files, read_headers, split_folders
from robench.data.image_files import splits_of
from robench.data.options import Options
from robench.data.split import divide
from robench.errors import UserError, unknown

SPLITS = ("official", "resplit")


@dataclass(frozen=True)
class Labelled:
    """A file, its class number, and the group (a patient, a lesion) that it belongs to."""

    path: Path
    label: int
    group: str


def from_files(
    parts: Mapping[str, Sequence[Labelled]],
    root: Path,
    options: Options,
    *,
    class_names: Sequence[str],
    fractions: Mapping[str, float] | None = None,
    resplit: bool = False,
) -> Dataset:
    """The data set of the files of each split; with `resplit`, of all of them divided anew.

    `fractions` None: train 0.7, validation 0.15, test 0.15, each class by itself; groups and
    byte-identical files stay on one side. Image ids are the paths below `root`.
    """
    if resplit:
        parts = {"": [file for part in parts.values() for file in part]}
    scanned = {
        name: read_headers([(file.path, file.label) for file in part])
        for name, part in parts.items()
    }
    groups = {name: np.array([file.group for file in part]) for name, part in parts.items()}
    splits = splits_of(
        scanned, root, image_size=options.image_size, channels=options.channels, groups=groups
    )
    if resplit:
        splits = divide(splits[""], fractions, where=f"{options.name}: split")
    return options.apply(splits, class_names=class_names)


def from_class_folders(
    root: Path,
    options: Options,
    *,
    class_names: Sequence[str],
    group: Callable[[str], str | None],
    resplit: bool,
) -> Dataset:
    """The data set below `root`, in split folders that hold class folders, or in class folders.

    `group` gives the group of a file's name, or None for a file of its own. Raises UserError where
    the class folders of a split are not `class_names`.
    """
    held = split_folders(root) or {"": root}
    for folder in held.values():
        found = class_folders(folder)
        if sorted(found) != sorted(class_names):
            raise UserError(
                "other class folders than the data set's",
                where=str(folder), got=list(found), expected=", ".join(class_names),
            )
    parts = {
        name: [
            Labelled(path, label, group(path.name) or path.relative_to(root).as_posix())
            for path, label in list_files(folder, class_names)
        ]
        for name, folder in held.items()
    }
    return from_files(parts, root, options, class_names=class_names, resplit=resplit)


def asks_resplit(split: str, *, where: str) -> bool:
    """Whether a setting `split` asks for new splits, or UserError."""
    if split not in SPLITS:
        raise unknown("split", str(split), SPLITS, where=f"{where}: split")
    return split == "resplit"
