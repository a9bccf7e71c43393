"""The per-image worst over several attacks (Croce & Hein, ICML 2020), one table at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

#: The outcome column that holds the distance in each norm; l1 is not measured.
_DISTANCE_COLUMN = {"linf": "linf", "l2": "l2", "l0": "l0"}


@dataclass(frozen=True)
class Tally:
    """What is counted of one attack, or of the worst over several; all arrays of length N.

    `correct`: right before the attack. `broken`: right before, wrong after. `distance`: in the
    cell's norm, NaN where it is not measured. `forwards`, `backwards`: passes spent per image.
    """

    attacks: tuple[str, ...]
    image_ids: pd.Index[str]
    labels: npt.NDArray[np.int64]
    predictions: npt.NDArray[np.int64]
    correct: Bools
    broken: Bools
    distance: Floats
    forwards: Floats
    backwards: Floats
    clean_mismatch: bool = False


def tally(frame: pd.DataFrame, *, attack: str, norm: str) -> Tally:
    """The tally of one cell's outcome table, which must satisfy `robench.outcomes.validate`.

    Raises ValueError for an image id that stands twice.
    """
    image_ids = pd.Index(frame["image_id"])
    if not image_ids.is_unique:
        raise ValueError(f"attack '{attack}': image_id stands twice in its outcome table")
    column = _DISTANCE_COLUMN.get(norm)
    return Tally(
        attacks=(attack,),
        image_ids=image_ids,
        labels=frame["label"].to_numpy(dtype=np.int64),
        predictions=frame["clean_prediction"].to_numpy(dtype=np.int64),
        correct=frame["clean_correct"].to_numpy(dtype=np.bool_),
        broken=frame["success"].to_numpy(dtype=np.bool_),
        distance=(
            np.full(len(frame), np.nan)
            if column is None
            else frame[column].to_numpy(dtype=np.float64)
        ),
        forwards=frame["forwards"].to_numpy(dtype=np.float64),
        backwards=frame["backwards"].to_numpy(dtype=np.float64),
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
    order = other.image_ids.get_indexer(one.image_ids)
    missing = int((order < 0).sum())
    extra = len(other.image_ids) - (len(order) - missing)
    if missing or extra:
        raise ValueError(
            f"different images: {_names(one, other)}; "
            f"{missing} only in the first, {extra} only in the last"
        )
    return order


def _names(one: Tally, other: Tally) -> str:
    return f"attacks {', '.join(one.attacks)} and {', '.join(other.attacks)}"
