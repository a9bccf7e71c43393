"""Checks of arrays that users give: images, labels, class names, ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.errors import UserError


def check_images(images: object, *, where: str) -> NDArray[np.uint8]:
    """`images` (uint8, N×H×W or N×H×W×C, C 1 or 3) as N×H×W×C without a copy."""
    given = array = _array(images, where)
    if array.dtype != np.uint8:
        raise UserError(
            "images must be uint8 in 0..255: give uint8 images, not scaled or normalised ones",
            where=where,
            got=f"dtype {array.dtype}",
            expected="dtype uint8",
        )
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[3] not in (1, 3) or 0 in array.shape:
        raise UserError(
            "images have the wrong shape",
            where=where,
            got=given.shape,
            expected="N×H×W or N×H×W×C with C 1 or 3, and at least one image",
        )
    return array


def check_labels(labels: object, *, count: int, where: str) -> NDArray[np.int64]:
    """`labels` (integers ≥ 0, (N,) or (N,1)) as int64 (N,), one for each of `count` images."""
    given = array = _array(labels, where)
    if array.ndim == 2 and array.shape[1] > 1:
        raise UserError(
            "several labels per image (multi-label or one-hot) are not supported",
            where=where,
            got=array.shape,
            expected="one class number per image, (N,) or (N,1)",
        )
    if array.ndim == 2:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise UserError(
            "labels must be whole numbers, one per image",
            where=where,
            got=f"dtype {array.dtype}, shape {given.shape}",
            expected="integers, (N,) or (N,1)",
        )
    if len(array) != count:
        raise UserError(
            "images and labels differ in number", where=where, got=len(array), expected=str(count)
        )
    if (array < 0).any():
        index = int(np.argmax(array < 0))
        raise UserError(
            "a label is negative",
            where=f"{where}[{index}]",
            got=int(array[index]),
            expected="0 or more",
        )
    if (array > np.iinfo(np.int64).max).any():
        index = int(np.argmax(array > np.iinfo(np.int64).max))
        raise UserError("a label is too large", where=f"{where}[{index}]", got=int(array[index]))
    return array.astype(np.int64)


def check_class_names(
    class_names: Sequence[str] | None, labels: Mapping[str, NDArray[np.int64]], *, where: str
) -> tuple[str, ...]:
    """The class names: those given, or "0", "1", … for the classes that `labels` hold.

    `labels` are checked arrays by their place. UserError where a label has no name, and, when
    no names are given, where a class between 0 and the largest label has no image.
    """
    if class_names is not None:
        names = _given_names(class_names, where=where)
        for place, held in labels.items():
            outside = held >= len(names)
            if outside.any():
                index = int(np.argmax(outside))
                raise UserError(
                    "a label is out of range",
                    where=f"{place}[{index}]",
                    got=int(held[index]),
                    expected=f"0..{len(names) - 1} for {len(names)} class names",
                )
        return names
    present = np.unique(np.concatenate(list(labels.values())))
    gaps = np.flatnonzero(present != np.arange(len(present)))
    if len(gaps):
        raise UserError(
            f"no image has label {gaps[0]}, but one has {present[-1]}",
            where=next(iter(labels)),
            expected="labels 0..K-1; where a class is meant to have no image, give class_names",
        )
    if len(present) < 2:
        raise UserError(
            "a data set needs two classes or more",
            where=next(iter(labels)),
            got=f"{len(present)} class",
            expected="two or more; where a class is meant to have no image, give class_names",
        )
    return tuple(str(label) for label in present)


def check_ids(ids: object, *, count: int, where: str) -> NDArray[np.str_]:
    """`ids` (strings, bytes or whole numbers) as an array of str of length `count`."""
    array = _array(ids, where)
    if array.shape != (count,) or array.dtype.kind not in "SUiu":
        raise UserError(
            "not one name per image",
            where=where,
            got=f"dtype {array.dtype}, shape {array.shape}",
            expected=f"{count} strings",
        )
    if array.dtype.kind == "S":
        try:
            return np.char.decode(array, "utf-8")
        except UnicodeDecodeError as error:
            raise UserError("names are not UTF-8 text", where=where, got=error.object) from error
    return array.astype(np.str_)


def check_unique(ids: NDArray[np.str_], *, where: str) -> None:
    """UserError that names the first id which stands twice."""
    values, first, counts = np.unique(ids, return_index=True, return_counts=True)
    if len(values) < len(ids):
        twice = values[counts > 1][np.argmin(first[counts > 1])]
        raise UserError("image ids must be unique", where=where, got=f"{twice!s} more than once")


def _array(value: object, where: str) -> NDArray[Any]:
    try:
        return np.asanyarray(value)
    except ValueError as error:
        raise UserError(f"not an array ({error})", where=where) from error


def _given_names(class_names: Sequence[str], *, where: str) -> tuple[str, ...]:
    names = [] if isinstance(class_names, (str, bytes)) else list(class_names)
    if not all(isinstance(name, str) for name in names) or len(names) < 2:
        raise UserError(
            "not a list of class names",
            where=where,
            got=class_names,
            expected="two or more strings (in YAML, quote names such as 'no' and '1')",
        )
    if len(set(names)) < len(names):
        raise UserError("class names must differ", where=where, got=names)
    return tuple(names)
