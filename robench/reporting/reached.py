"""At which size each image of a victim broke, from the cells of one attack (rule F3)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from robench.reporting.shown import Shown
from robench.reporting.table import RunTable
from robench.scoring.distances import Distances, ladder_distances, measured_distances
from robench.scoring.images import column, image_ids, places

_MINIMUM: Final = "minimum"
_MEASURED: Final = ("linf", "l2", "l0")


def searching(table: RunTable) -> frozenset[str]:
    """The attacks of a run that search the smallest perturbation, by their labels.

    Attacks of third parties are not asked, for that may load torch: what is known of them are the
    epsilons between which an image broke, which is true of any attack.
    """
    from robench.registry import Registry

    found = {card.name for card in Registry.discover().own("attack")
             if card.traits.get("budget") == _MINIMUM}
    matrix = table.facts.get("matrix") or {}
    named = {item["label"]: next(iter(item)) for item in matrix.get("attacks", ())}
    labels = {str(row["attack"]) for row in table.rows}
    return frozenset(label for label in labels if named.get(label, label) in found)


def largest(cells: Sequence[Shown]) -> float:
    """The largest finite epsilon of some cells; NaN where they have none."""
    return max((cell.epsilon for cell in cells if math.isfinite(cell.epsilon)), default=math.nan)


def budgets(table: RunTable) -> Mapping[str, int | None]:
    """What each attack of the matrix may spend on an image, by its label; None for any."""
    matrix = table.facts.get("matrix") or {}
    return {item["label"]: item[next(iter(item))].get("budget")
            for item in matrix.get("attacks", ())}


def reached(cells: Sequence[Shown], *, smallest: bool) -> Distances:
    """d of each image: measured where the attack searches for the `smallest`, else from the ladder.

    `cells` are those of one attack on one victim. Raises ValueError for different images, and for
    a search without a bound in a norm that is not measured.
    """
    norm = str(cells[0].row["norm"])
    ordered = sorted(cells, key=lambda cell: cell.epsilon)
    finite = [cell for cell in ordered if math.isfinite(cell.epsilon)]
    if norm in _MEASURED and (smallest or len(finite) < len(ordered)):
        return _measured(ordered, norm)
    if not finite:
        raise ValueError(f"distances in {norm} are not measured, and no ε bounds them")
    return ladder_distances((cell.epsilon, cell.columns) for cell in finite)


def _measured(ordered: Sequence[Shown], norm: str) -> Distances:
    top = ordered[-1]
    found = measured_distances(top.columns, norm=norm)
    correct, d = found.correct.copy(), found.high.copy()
    for cell in ordered[:-1]:
        order = places(found.image_ids, image_ids(cell.columns),
                       names=(f"epsilon {top.epsilon:g}", f"epsilon {cell.epsilon:g}"))
        correct &= column(cell.columns, "clean_correct").astype(np.bool_)[order]
        broken = column(cell.columns, "success").astype(np.bool_)[order]
        # A distance in float32 may lie above the epsilon that it was accepted at.
        d[broken] = np.minimum(d[broken], cell.epsilon)
    if math.isfinite(top.epsilon):
        d[np.isfinite(d)] = np.minimum(d[np.isfinite(d)], top.epsilon)
    d[~correct] = 0.0
    # Of an image that was not broken it is known that d is above the largest epsilon, no more.
    return replace(found, correct=correct, high=d, low=np.where(np.isinf(d), top.epsilon, d))
