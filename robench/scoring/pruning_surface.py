"""Robust accuracy over perturbation size and measured sparsity: retention and fair comparison.

All points of a surface are one network at several sparsities, on the same images.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from robench.scoring.bootstrap import RESAMPLES, percentile_interval, resampled_means
from robench.scoring.images import Ids, column, group_ids, image_ids, places
from robench.scoring.wilson import wilson
from robench.scoring.worst_case import Bools, Columns, Floats

#: Of the resamples, how many may have no ratio (a denominator of 0) before there is no interval.
_UNDEFINED = 0.01


@dataclass(frozen=True)
class Slice:
    """One epsilon of a surface: S sparsities, ascending, on the same N images sorted by id.

    `clean` and `robust` are S × N: right before the attack; and after it too. `group_ids` say
    which images are of one patient; intervals draw whole groups.
    """

    epsilon: float
    sparsities: tuple[float, ...]
    image_ids: Ids
    group_ids: Ids
    clean: Bools
    robust: Bools


@dataclass(frozen=True)
class SurfacePoint:
    """RA at one epsilon and sparsity, with its 95 % Wilson interval."""

    epsilon: float
    sparsity: float
    n: int
    clean_accuracy: float
    robust_accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class Retention:
    """RA(ε, s)/RA(ε, s₀) with its paired bootstrap interval, s₀ the smallest sparsity there is."""

    epsilon: float
    sparsity: float
    retention: float
    low: float
    high: float


@dataclass(frozen=True)
class AtCleanAccuracy:
    """Two networks at the same `clean_accuracy`: the robust accuracy of each, and the difference.

    [`low`, `high`] is the paired bootstrap interval of the difference, `one` − `other`, NaN where
    more than 1 % of the resamples do not reach that clean accuracy.
    """

    clean_accuracy: float
    one: float
    other: float
    difference: float
    low: float
    high: float


def slice_at(epsilon: float, cells: Iterable[tuple[float, Columns]]) -> Slice:
    """The (measured sparsity, columns) of one network, attack and epsilon, in any order.

    Raises ValueError for no cell, a sparsity outside [0, 1] or standing twice, different images.
    """
    ordered = sorted(cells, key=lambda cell: cell[0])
    sparsities = tuple(float(sparsity) for sparsity, _ in ordered)
    if not ordered:
        raise ValueError("no cell: a surface needs at least one sparsity")
    if not all(0 <= sparsity <= 1 for sparsity in sparsities):
        raise ValueError(f"sparsities must be from 0 to 1, got {sparsities}")
    if len(set(sparsities)) < len(sparsities):
        raise ValueError(f"a sparsity stands twice: {sparsities}")
    ids = image_ids(ordered[0][1])
    by_id = np.argsort(ids.astype(str), kind="stable")
    ids, groups = ids[by_id], group_ids(ordered[0][1])[by_id]
    clean, robust = [], []
    for sparsity, columns in ordered:
        order = places(ids, image_ids(columns),
                       names=(f"sparsity {sparsities[0]:g}", f"sparsity {sparsity:g}"))
        right = column(columns, "clean_correct").astype(np.bool_)[order]
        clean.append(right)
        robust.append(right & ~column(columns, "success").astype(np.bool_)[order])
    return Slice(float(epsilon), sparsities, ids, groups, np.stack(clean), np.stack(robust))


def surface_points(slices: Sequence[Slice]) -> tuple[SurfacePoint, ...]:
    """RA(ε, s) of every slice, by epsilon and then by sparsity."""
    points = []
    for held in sorted(slices, key=lambda each: each.epsilon):
        n = len(held.image_ids)
        for sparsity, clean, robust in zip(held.sparsities, held.clean, held.robust, strict=True):
            kept = int(robust.sum())
            points.append(
                SurfacePoint(
                    held.epsilon, sparsity, n, float(clean.mean()), kept / n, *wilson(kept, n)
                )
            )
    return tuple(points)


def retention(
    held: Slice, *, confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Retention, ...]:
    """Each sparsity's RA over that of the smallest sparsity, which stands for the dense network.

    NaN where the dense network keeps no image right: there is nothing to retain. The interval is
    NaN where more than 1 % of the resamples have none; the rest of them is left out. Raises
    ValueError for fewer than two sparsities.
    """
    if len(held.sparsities) < 2:
        raise ValueError("retention needs at least two sparsities, got one")
    means = resampled_means(
        held.robust, groups=held.group_ids, resamples=resamples, seed=seed
    )
    rates = held.robust.mean(axis=1)
    found = []
    for place, sparsity in enumerate(held.sparsities[1:], start=1):
        ratio = float(rates[place] / rates[0]) if rates[0] else math.nan
        low, high = _interval(_divided(means[place], means[0]), confidence)
        found.append(Retention(held.epsilon, sparsity, ratio, low, high))
    return tuple(found)


def compare_at_clean_accuracy(
    one: Slice,
    other: Slice,
    *,
    clean_accuracy: float,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> AtCleanAccuracy:
    """Robust accuracy of two networks (or pruning methods) where both have this clean accuracy.

    The rule: between neighbouring sparsities both accuracies are taken as linear in the sparsity;
    of the places where the clean accuracy is met, the one with the largest sparsity counts.
    Images are matched by id and resampled together.

    Raises ValueError for different epsilons or images, and where a network does not reach
    `clean_accuracy` between its sparsities: nothing is extrapolated.
    """
    if one.epsilon != other.epsilon:
        raise ValueError(f"different epsilons: {one.epsilon:g} and {other.epsilon:g}")
    order = places(one.image_ids, other.image_ids, names=("one", "other"))
    tables = (one.clean, one.robust, other.clean[:, order], other.robust[:, order])
    ends = np.cumsum([len(table) for table in tables])[:-1]
    means = resampled_means(
        np.concatenate(tables), groups=one.group_ids, resamples=resamples, seed=seed
    )
    clean_one, robust_one, clean_other, robust_other = np.split(means, ends)
    met = []
    for name, held in (("one", one), ("other", other)):
        clean = held.clean.mean(axis=1)
        met.append(_at(clean[:, None], held.robust.mean(axis=1)[:, None], clean_accuracy)[0])
        if np.isnan(met[-1]):
            raise ValueError(
                f"'{name}' does not have a clean accuracy of {clean_accuracy:g} between its "
                f"sparsities: it goes from {clean.min():g} to {clean.max():g}"
            )
    differences = _at(clean_one, robust_one, clean_accuracy) - _at(
        clean_other, robust_other, clean_accuracy
    )
    low, high = _interval(differences, confidence)
    return AtCleanAccuracy(
        clean_accuracy, float(met[0]), float(met[1]), float(met[0] - met[1]), low, high
    )


def _at(clean: Floats, robust: Floats, wanted: float) -> Floats:
    """Robust accuracy where clean accuracy is `wanted`; S × B tables to B values, NaN for none."""
    found = np.where(clean[0] == wanted, robust[0], math.nan)
    for place in range(len(clean) - 1):
        before, after = clean[place], clean[place + 1]
        meets = (np.minimum(before, after) <= wanted) & (wanted <= np.maximum(before, after))
        share = np.where(before == after, 1.0, _divided(before - wanted, before - after))
        between = robust[place] + share * (robust[place + 1] - robust[place])
        found = np.where(meets, between, found)
    return found


def _divided(above: Floats, below: Floats) -> Floats:
    ratio: Floats = np.full(len(below), math.nan)
    np.divide(above, below, out=ratio, where=below != 0)
    return ratio


def _interval(samples: Floats, confidence: float) -> tuple[float, float]:
    defined = samples[~np.isnan(samples)]
    if len(defined) < (1 - _UNDEFINED) * len(samples):
        return math.nan, math.nan
    return percentile_interval(defined, confidence)
