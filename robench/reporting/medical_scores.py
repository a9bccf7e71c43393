"""What clinics ask of one cell, counted once for the table and for the long rows (rule F14)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robench.reporting.lines import Number
from robench.reporting.shown import Gaps, grouped_images
from robench.scoring.clusters import clustered_rate
from robench.scoring.images import column, group_ids, image_ids, places
from robench.scoring.medical import (
    ClassRate,
    ClassScores,
    Integers,
    When,
    attack_confusion,
    auroc,
    class_scores,
    risk_weighted_asr,
    robust_by_class,
)
from robench.scoring.wilson import wilson
from robench.scoring.worst_case import Columns


@dataclass(frozen=True)
class Scores:
    """One line: a victim's clean images, or one attack at one epsilon.

    `accuracy` is of the predictions; `clustered` has the interval by groups, None where no two
    images share one. `classes` end with their macro mean. `rates`, `confusion` and `risk` are
    those of an attack: empty or None for clean images.
    """

    n: int
    accuracy: Number
    clustered: Number | None
    classes: tuple[ClassScores, ...]
    auroc: Number
    rates: tuple[ClassRate, ...] = ()
    confusion: Integers | None = None
    risk: Number | None = None


def scores(
    columns: Columns, *, classes: tuple[str, ...], when: When, costs: npt.ArrayLike,
    gaps: Gaps, named: str,
) -> Scores:
    """The scores of one outcome table, for the predictions of `when`."""
    right = column(columns, f"{when}_prediction") == column(columns, "label")
    n, kept = len(right), int(right.sum())
    clustered = None
    if grouped_images(columns):
        try:
            found = clustered_rate(right, group_ids(columns))
            clustered = Number(found.rate, found.low, found.high)
        except ValueError as error:
            clustered = Number(why=gaps.add(f"no interval by groups: {error}", named))
    try:
        ranking = Number(auroc(columns, class_names=classes, when=when))
    except ValueError as error:
        ranking = Number(why=gaps.add(str(error), named))
    known = Scores(
        n=n, accuracy=Number(kept / n, *wilson(kept, n)), clustered=clustered,
        classes=class_scores(columns, class_names=classes, when=when), auroc=ranking,
    )
    if when == "clean":
        return known
    risk = risk_weighted_asr(columns, class_names=classes, costs=costs)
    why = gaps.add("no image is right before the attack", named) if math.isnan(risk) else ""
    return Scores(
        **vars(known) | {
            "rates": robust_by_class(columns, class_names=classes),
            "confusion": attack_confusion(columns, class_names=classes),
            "risk": Number(risk, why=why),
        })


def worst_images(tables: Sequence[Columns]) -> Columns:
    """The worst over several attacks, image by image: a table like those of the attacks.

    Of each image it takes the attack that broke it, and of several the one that left the smallest
    margin; where none broke it, the smallest margin too. An image that is wrong in one of the
    clean passes counts as wrong before the attack. Raises ValueError for different images.
    """
    first = tables[0]
    ids = image_ids(first)
    orders = [places(ids, image_ids(table), names=("one attack", "another")) for table in tables]

    def stacked(name: str) -> npt.NDArray[np.generic]:
        return np.stack([column(table, name)[order]
                         for table, order in zip(tables, orders, strict=True)])

    margins = np.nan_to_num(stacked("adversarial_margin").astype(np.float64), nan=math.inf)
    broken = stacked("success").astype(np.bool_)
    correct = stacked("clean_correct").astype(np.bool_)
    # By what counts most, last: wrong before the attack, then broken, then the margin.
    chosen = np.lexsort((margins, ~broken, correct), axis=0)[0]
    at = chosen, np.arange(len(ids))
    names = ("clean_prediction", "adversarial_prediction", "clean_margin", "adversarial_margin")
    return {
        "image_id": ids, "group_id": group_ids(first), "label": column(first, "label"),
        "clean_correct": correct.all(axis=0),
        "success": correct.all(axis=0) & broken.any(axis=0),
        **{name: stacked(name)[at] for name in names},
    }
