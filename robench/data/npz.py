"""npz: a data set in one .npz file, in the layout of MedMNIST or of Keras."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robench.data import arrays
from robench.data.dataset import Dataset
from robench.data.npz_stream import entry_names, read_entry
from robench.data.options import Options, groups_of
from robench.data.paths import resolve
from robench.data.split import Split
from robench.errors import UserError, nearest

_SPLITS = {"train": "train", "val": "validation", "test": "test"}
# layout → names of the images and of the labels of a split
_LAYOUTS = {"MedMNIST": ("{}_images", "{}_labels"), "Keras": ("x_{}", "y_{}")}


def npz(
    *,
    path: str | os.PathLike[str] | None = None,
    class_names: Sequence[str] | None = None,
    image_size: int | None = None,
    channels: int | None = None,
    limit: Mapping[str, int] | None = None,
    validation: float | None = None,
    group_pattern: str | None = None,
    memory_limit_mb: int = 1024,
) -> Dataset:
    """The data set in the .npz file at `path`.

    The file holds `train_images, train_labels, val_images, …, test_labels` (MedMNIST) or
    `x_train, y_train, …` (Keras), any of the splits train, val, test. Images are uint8 N×H×W
    or N×H×W×C (C 1 or 3), labels integers 0..K-1, (N,) or (N,1). Image ids are "test/000123".
    `group_pattern`: a regular expression on the arrays `train_names`, `val_names`,
    `test_names`; its first group (or match) is the group id. Arrays above `memory_limit_mb`
    (10⁶ bytes) are mapped from disk. The other options are those of Options.
    Raises UserError naming file and array.
    """
    options = Options(
        "npz", image_size=image_size, channels=channels, limit=limit, validation=validation
    )
    return load_npz(
        resolve(path, where="npz: path"),
        options,
        class_names=class_names,
        group_pattern=group_pattern,
        memory_limit_mb=memory_limit_mb,
    )


def load_npz(
    file: Path,
    options: Options,
    *,
    class_names: Sequence[str] | None,
    group_pattern: str | None,
    memory_limit_mb: int,
) -> Dataset:
    """The data set in `file` under `options`; see npz."""
    if not file.is_file():
        raise UserError("is not a file", where=str(file), expected="an .npz file")
    if isinstance(memory_limit_mb, bool) or not isinstance(memory_limit_mb, int):
        raise UserError(
            "not a whole number", where=f"{options.name}: memory_limit_mb", got=memory_limit_mb
        )
    memory_limit = memory_limit_mb * 1_000_000
    names = entry_names(file)
    images_name, labels_name = _layout(names, file)
    images: dict[str, NDArray[np.uint8]] = {}
    labels: dict[str, NDArray[np.int64]] = {}
    for stored in _SPLITS:
        image_name, label_name = images_name.format(stored), labels_name.format(stored)
        if image_name not in names and label_name not in names:
            continue
        for name in (image_name, label_name):
            if name not in names:
                raise UserError(
                    f"there is no array '{name}'",
                    where=str(file),
                    got=list(names),
                )
        place = f"{file}: {image_name}"
        images[stored] = arrays.check_images(
            read_entry(file, image_name, memory_limit=memory_limit), where=place
        )
        labels[stored] = arrays.check_labels(
            read_entry(file, label_name, memory_limit=memory_limit),
            count=len(images[stored]),
            where=f"{file}: {label_name}",
        )
    known = arrays.check_class_names(
        class_names,
        {f"{file}: {labels_name.format(stored)}": held for stored, held in labels.items()},
        where=f"{options.name}: class_names",
    )
    splits = {}
    for stored, held in images.items():
        ids = np.array([f"{stored}/{index:06d}" for index in range(len(held))])
        groups = (
            None
            if group_pattern is None
            else _groups(file, stored, names, group_pattern, len(held), options.name)
        )
        splits[_SPLITS[stored]] = Split.of(held, labels[stored], ids, group_ids=groups)
    return options.apply(splits, class_names=known)


def _layout(names: tuple[str, ...], file: Path) -> tuple[str, str]:
    for layout in _LAYOUTS.values():
        if any(layout[0].format(stored) in names for stored in _SPLITS):
            return layout
    close = [nearest(f"{stored}_images", names) for stored in _SPLITS]
    raise UserError(
        "the layout is not known",
        where=str(file),
        got=list(names),
        expected="'train_images', 'train_labels', … (MedMNIST) or 'x_train', 'y_train', … (Keras)"
        + (f"; '{close[0]}' looks close" if close[0] else ""),
    )


def _groups(
    file: Path, stored: str, names: tuple[str, ...], pattern: str, count: int, where: str
) -> NDArray[np.str_]:
    name = f"{stored}_names"
    if name not in names:
        raise UserError(
            f"group_pattern needs the array '{name}' with the file names",
            where=str(file),
            got=list(names),
        )
    place = f"{file}: {name}"
    held = arrays.check_ids(read_entry(file, name, memory_limit=2**63), count=count, where=place)
    return groups_of(held.tolist(), pattern, where=f"{where}: {name}")
