"""The per-image worst over several attacks (Croce & Hein, ICML 2020), one table at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Columns = Mapping[str, npt.ArrayLike]
"""The columns of an outcome table by their names, each of length N."""

#: The outcome column that holds the distance in each norm; l1 is not measured.
_DISTANCE_COLUMN = {"linf": "linf", "l2": "l2", "l0": "l0"}


@dataclass(frozen=True)
class Tally:
    """What is counted of one attack, or of the worst over several; all arrays of length N.

    `correct`: right before the attack. `broken`: right before, wrong after. `distance`: in the
    cell's norm, NaN where it is not measured. `forwards`, `backwards`: passes spent per image.
    """

    attacks: tuple[str, ...]
    image_ids: npt.NDArray[Any]
    labels: npt.NDArray[np.int64]
    predictions: npt.NDArray[np.int64]
    correct: Bools
    broken: Bools
    distance: Floats
    forwards: Floats
    backwards: Floats
    clean_mismatch: bool = False


def tally(columns: Columns, *, attack: str, norm: str) -> Tally:
    """The tally of one cell's outcome table, which must satisfy `robench.outcomes.validate`.

    Raises ValueError for an image id that stands twice.
    """
    image_ids = np.asarray(columns["image_id"], dtype=object)
    if len(set(image_ids)) < len(image_ids):
        raise ValueError(f"attack '{attack}': image_id stands twice in its outcome table")
    measured = _DISTANCE_COLUMN.get(norm)
    return Tally(
        attacks=(attack,),
        image_ids=image_ids,
        labels=np.asarray(columns["label"], dtype=np.int64),
        predictions=np.asarray(columns["clean_prediction"], dtype=np.int64),
        correct=np.asarray(columns["clean_correct"], dtype=np.bool_),
        broken=np.asarray(columns["success"], dtype=np.bool_),
        distance=(
            np.full(len(image_ids), np.nan)
            if measured is None
            else np.asarray(columns[measured], dtype=np.float64)
        ),
        forwards=np.asarray(columns["forwards"], dtype=np.float64),
        backwards=np.asarray(columns["backwards"], dtype=np.float64),
    )


def worse(one: Tally, other: Tally) -> Tally:
    """The worst case over both: an image is broken where either broke it, at the smaller distance.

    Images are matched by id and stand in the order of `one`. Where the clean passes disagree, only
    an image that is right in both counts as right, and `clean_mismatch` is set: so robust accuracy
    is never above that of either. Raises ValueError, naming the attacks, for different images or
    labels.
    """
    order = _order(one, other)
    if not np.array_equal(one.labels, other.labels[order]):
        raise ValueError(f"different labels for the same images: {_names(one, other)}")
    correct = one.correct & other.correct[order]
    reached = np.fmin(
        np.where(one.broken, one.distance, np.nan),
        np.where(other.broken[order], other.distance[order], np.nan),
    )
    return Tally(
        attacks=one.attacks + other.attacks,
        image_ids=one.image_ids,
        labels=one.labels,
        predictions=one.predictions,
        correct=correct,
        broken=correct & (one.broken | other.broken[order]),
        distance=reached,
        forwards=one.forwards + other.forwards[order],
        backwards=one.backwards + other.backwards[order],
        clean_mismatch=(
            one.clean_mismatch
            or other.clean_mismatch
            or not np.array_equal(one.predictions, other.predictions[order])
            or not np.array_equal(one.correct, other.correct[order])
        ),
    )


def _order(one: Tally, other: Tally) -> npt.NDArray[np.intp]:
    """Where each image of `one` stands in `other`."""
    if np.array_equal(one.image_ids, other.image_ids):
        return np.arange(len(one.image_ids))
    places = {image_id: place for place, image_id in enumerate(other.image_ids)}
    order = np.array([places.get(image_id, -1) for image_id in one.image_ids], dtype=np.intp)
    missing = int((order < 0).sum())
    extra = len(places) - (len(order) - missing)
    if missing or extra:
        raise ValueError(
            f"different images: {_names(one, other)}; "
            f"{missing} only in the first, {extra} only in the last"
        )
    return order


def _names(one: Tally, other: Tally) -> str:
    return f"attacks {', '.join(one.attacks)} and {', '.join(other.attacks)}"
