"""Images with masks: splits in memory, read from one .npz file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.data import arrays
from robench.data.npz_stream import entry_names, read_entry
from robench.data.paths import resolve
from robench.errors import UserError, nearest

_SPLITS = {"train": "train", "val": "validation", "test": "test"}
_MAPPED_ABOVE = 10**9  # bytes
_MOST_CLASSES = 256


@dataclass(frozen=True, eq=False, repr=False)
class MaskSplit:
    """Images and the class of each of their pixels.

    `images`: uint8 N×H×W×C. `masks`: uint8 N×H×W, class numbers. `image_ids`: str (N,), unique.
    Raises UserError where these do not fit together.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    image_ids: NDArray[np.str_]

    def __post_init__(self) -> None:
        arrays.check_images(self.images, where="images")
        if self.images.ndim != 4:
            raise UserError("images", got=self.images.shape, expected="N×H×W×C")
        if self.masks.dtype != np.uint8 or self.masks.shape != self.images.shape[:3]:
            raise UserError(
                "the masks do not fit the images",
                got=f"dtype {self.masks.dtype}, shape {self.masks.shape}",
                expected=f"dtype uint8, shape {self.images.shape[:3]}",
            )
        if self.image_ids.shape != (len(self.images),):
            raise UserError("image_ids do not fit the images", got=self.image_ids.shape,
                            expected=f"({len(self.images)},)")
        arrays.check_unique(self.image_ids, where="image_ids")

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"<MaskSplit: {len(self)} images {'×'.join(map(str, self.images.shape[1:]))}>"

    def select(self, indices: Any) -> MaskSplit:
        """The images at `indices` (ints, a slice or a boolean mask), in that order."""
        return MaskSplit(self.images[indices], self.masks[indices], self.image_ids[indices])


@dataclass(frozen=True, eq=False, kw_only=True)
class MaskDataset:
    """A data set of masks: class numbers 0..`num_classes`-1, 0 the background.

    Raises UserError naming the first mask that holds another number.
    """

    name: str
    num_classes: int = 2
    train: MaskSplit | None = None
    validation: MaskSplit | None = None
    test: MaskSplit | None = None

    def __post_init__(self) -> None:
        count = self.num_classes
        if isinstance(count, bool) or not isinstance(count, int) or not 2 <= count <= _MOST_CLASSES:
            raise UserError("num_classes", where=self.name, got=count,
                            expected=f"a whole number of 2 to {_MOST_CLASSES}, background included")
        for name in _SPLITS.values():
            split: MaskSplit | None = getattr(self, name)
            if split is not None:
                _check_numbers(split, count, where=f"{self.name}: masks of '{name}'")


def masks_npz(path: str | os.PathLike[str], *, num_classes: int = 2) -> MaskDataset:
    """The data set in the .npz file at `path`, looked for as given, then in ROBENCH_DATA.

    The file holds `train_images, train_masks` and the same for `val` and `test`, any of them.
    Images are uint8 N×H×W or N×H×W×C (C 1 or 3), masks uint8 (or bool) N×H×W or N×H×W×1 with
    class numbers 0..`num_classes`-1. Image ids are the names in `train_names` …, where there
    are any, else "train/000123". Arrays above 1 GB are mapped from disk. Nothing is unpickled.
    Raises UserError naming file and array.
    """
    file = resolve(path, where="masks_npz: path")
    if not file.is_file():
        raise UserError("is not a file", where=str(file), expected="an .npz file")
    names = entry_names(file)
    splits = {name: _read_split(file, stored, names) for stored, name in _SPLITS.items()
              if f"{stored}_images" in names or f"{stored}_masks" in names}
    if not splits:
        close = nearest("train_masks", names)
        raise UserError("no split of images and masks", where=str(file), got=list(names),
                        expected="'train_images', 'train_masks', … of train, val and test"
                        + (f"; '{close}' looks close" if close else ""))
    return MaskDataset(name=str(file), num_classes=num_classes, **splits)


def _read_split(file: Path, stored: str, names: tuple[str, ...]) -> MaskSplit:
    for name in (f"{stored}_images", f"{stored}_masks"):
        if name not in names:
            raise UserError(f"there is no array '{name}'", where=str(file), got=list(names))
    images = arrays.check_images(
        read_entry(file, f"{stored}_images", memory_limit=_MAPPED_ABOVE),
        where=f"{file}: {stored}_images",
    )
    masks = _masks(
        read_entry(file, f"{stored}_masks", memory_limit=_MAPPED_ABOVE),
        shape=images.shape[:3], where=f"{file}: {stored}_masks",
    )
    if f"{stored}_names" not in names:
        ids = np.array([f"{stored}/{index:06d}" for index in range(len(images))])
        return MaskSplit(images, masks, ids)
    place = f"{file}: {stored}_names"
    ids = arrays.check_ids(
        read_entry(file, f"{stored}_names", memory_limit=_MAPPED_ABOVE),
        count=len(images), where=place,
    )
    arrays.check_unique(ids, where=place)
    return MaskSplit(images, masks, ids)


def _masks(given: NDArray[Any], *, shape: tuple[int, ...], where: str) -> NDArray[np.uint8]:
    masks = given[..., 0] if given.ndim == 4 and given.shape[3] == 1 else given
    if masks.dtype == np.bool_:
        masks = masks.view(np.uint8)
    if masks.dtype != np.uint8:
        raise UserError("masks must be uint8 class numbers", where=where,
                        got=f"dtype {given.dtype}", expected="dtype uint8 or bool")
    if masks.shape != shape:
        raise UserError("masks and images differ in number or size", where=where,
                        got=given.shape, expected=f"{shape}, one class number per pixel")
    return masks


def _check_numbers(split: MaskSplit, num_classes: int, *, where: str) -> None:
    if split.masks.max() < num_classes:
        return
    index = int(np.argmax((split.masks >= num_classes).any(axis=(1, 2))))
    raise UserError(
        "a mask holds a number that is no class", where=f"{where}[{index}]",
        got=int(split.masks[index].max()),
        expected=f"0..{num_classes - 1} (num_classes is {num_classes})",
    )
