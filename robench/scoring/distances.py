"""The smallest distance at which an attack broke each image, known exactly or between two epsilons.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from robench.scoring.images import Ids, column, group_ids, image_ids, places
from robench.scoring.worst_case import Bools, Columns, Floats

_NORMS = ("linf", "l2", "l0")


@dataclass(frozen=True)
class Distances:
    """d of each image, `low` < d ≤ `high`, or d = `low` = `high`; arrays of length N.

    `group_ids` say which images are of one patient; where there are no groups, each is its image's
    own id. Both ends are 0 where the image is wrong before the attack (`correct` is False), and
    `high` is infinite where the attack never broke it. In the unit of the norm they were taken in.
    """

    image_ids: Ids
    group_ids: Ids
    correct: Bools
    low: Floats
    high: Floats

    def sorted(self) -> Distances:
        """The same with the images in the order of their ids."""
        return self.at(np.argsort(self.image_ids.astype(str), kind="stable"))

    def at(self, order: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Distances:
        """The images at the places `order`."""
        return Distances(
            self.image_ids[order], self.group_ids[order], self.correct[order],
            self.low[order], self.high[order],
        )


def measured_distances(columns: Columns, *, norm: str) -> Distances:
    """d as a minimum-norm attack measured it, from a cell without a bound (or with a large one).

    Exact for that attack up to the cell's epsilon; an image that was not broken there has an
    infinite d. `norm` is linf, l2 or l0. Raises ValueError for another norm, a missing column, or
    a success whose distance is missing.
    """
    if norm not in _NORMS:
        raise ValueError(f"norm must be one of {', '.join(_NORMS)}, got '{norm}'")
    correct = column(columns, "clean_correct").astype(np.bool_)
    broken = column(columns, "success").astype(np.bool_) & correct
    reached = column(columns, norm).astype(np.float64)
    if np.isnan(reached[broken]).any():
        raise ValueError(f"success without a distance in {norm}")
    d = np.where(broken, reached, np.where(correct, math.inf, 0.0))
    return Distances(image_ids(columns), group_ids(columns), correct, d, d.copy())


def ladder_distances(cells: Iterable[tuple[float, Columns]]) -> Distances:
    """d between the epsilons of one fixed-budget attack on one victim: (epsilon, columns) each.

    `high` is the smallest epsilon at which the image broke, `low` the epsilon before it (0 before
    the first); an image that never broke has the largest epsilon as `low`. An image that breaks
    at an epsilon and not at a larger one counts as broken from the smaller on. Where the clean
    passes of the cells disagree, only an image that is right in all of them counts as right.

    Raises ValueError for no cell, an epsilon that is not positive and finite or stands twice, and
    for different images.
    """
    ordered = sorted(cells, key=lambda cell: cell[0])
    if not ordered:
        raise ValueError("no cell: distances need at least one epsilon")
    epsilons = [float(epsilon) for epsilon, _ in ordered]
    if len(set(epsilons)) < len(epsilons):
        raise ValueError(f"an epsilon stands twice: {epsilons}")
    if not all(0 < epsilon < math.inf for epsilon in epsilons):
        raise ValueError(f"epsilons must be positive and finite, got {epsilons}")
    ids = image_ids(ordered[0][1])
    correct = np.ones(len(ids), dtype=np.bool_)
    low, high = np.full(len(ids), epsilons[-1]), np.full(len(ids), math.inf)
    below = [0.0, *epsilons[:-1]]
    # Largest first, so the smallest epsilon that broke an image is what stands in the end.
    for before, epsilon, (_, columns) in reversed(
        list(zip(below, epsilons, ordered, strict=True))
    ):
        order = places(ids, image_ids(columns),
                       names=(f"epsilon {epsilons[0]:g}", f"epsilon {epsilon:g}"))
        correct &= column(columns, "clean_correct").astype(np.bool_)[order]
        broken = column(columns, "success").astype(np.bool_)[order]
        low[broken], high[broken] = before, epsilon
    low[~correct] = high[~correct] = 0.0
    return Distances(ids, group_ids(ordered[0][1]), correct, low, high)


def aligned(tables: Mapping[str, Distances]) -> dict[str, Distances]:
    """The same images in the same order in every table, sorted by id.

    Raises ValueError for no table or different images.
    """
    if not tables:
        raise ValueError("no distances: at least one table is needed")
    first, *_ = tables
    ids = tables[first].sorted().image_ids
    return {
        name: known.at(places(ids, known.image_ids, names=(first, name)))
        for name, known in tables.items()
    }


def same_victim(attacks: Mapping[str, Distances]) -> dict[str, Distances]:
    """`aligned` for attacks on one victim: an image wrong before any of them is wrong for all."""
    found = aligned(attacks)
    correct = np.logical_and.reduce([known.correct for known in found.values()])
    return {
        name: replace(
            known,
            correct=correct,
            low=np.where(correct, known.low, 0.0),
            high=np.where(correct, known.high, 0.0),
        )
        for name, known in found.items()
    }


def smallest_distances(attacks: Mapping[str, Distances]) -> Distances:
    """d*, the smallest over the attacks for each image. Raises ValueError where `aligned` does."""
    found = list(same_victim(attacks).values())
    return replace(
        found[0],
        low=np.minimum.reduce([known.low for known in found]),
        high=np.minimum.reduce([known.high for known in found]),
    )
