"""The images of outcome tables: columns by name, and which image of one table is which of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from robench.scoring.worst_case import Bools, Columns

Ids = npt.NDArray[Any]


@dataclass(frozen=True)
class Verdicts:
    """Which images a victim keeps right, before and after the attack; arrays of length N."""

    image_ids: Ids
    robust: Bools


def column(columns: Columns, name: str) -> npt.NDArray[Any]:
    """One column of an outcome table. Raises ValueError, naming it, where there is none."""
    if name not in columns:
        raise ValueError(f"outcome table without the column '{name}'")
    return np.asarray(columns[name])


def image_ids(columns: Columns) -> Ids:
    """The ids of a table's images. Raises ValueError where there is none, or one stands twice."""
    ids = column(columns, "image_id").astype(object)
    if not len(ids):
        raise ValueError("outcome table without images")
    if len(set(ids)) < len(ids):
        raise ValueError("image_id stands twice in an outcome table")
    return ids


def group_ids(columns: Columns) -> Ids:
    """The group (patient) of each image. Raises ValueError where the column is missing."""
    return column(columns, "group_id").astype(object)


def verdicts(columns: Columns) -> Verdicts:
    """The images of one cell that are right before the attack and not broken by it.

    Raises ValueError for a missing column, no image, or an image id that stands twice.
    """
    correct = column(columns, "clean_correct").astype(np.bool_)
    broken = column(columns, "success").astype(np.bool_)
    return Verdicts(image_ids(columns), correct & ~broken)


def places(wanted: Ids, known: Ids, *, names: Sequence[str]) -> npt.NDArray[np.intp]:
    """Where each of `wanted` stands in `known`.

    Raises ValueError, naming the two tables by `names` and counting, where the images differ.
    """
    if np.array_equal(wanted, known):
        return np.arange(len(wanted))
    stands = {image: place for place, image in enumerate(known)}
    order = np.array([stands.get(image, -1) for image in wanted], dtype=np.intp)
    missing = int((order < 0).sum())
    extra = len(stands) - (len(order) - missing)
    if missing or extra:
        raise ValueError(
            f"different images: '{names[0]}' and '{names[1]}'; "
            f"{missing} only in the first, {extra} only in the second"
        )
    return order
