"""The security curve RA(ε), and the exact area under it, with paired bootstrap intervals.

RA(ε) is the share of images with d > ε, and ∫₀ᴰ RA(ε) dε the mean of min(d, D): no trapezoid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from robench.scoring.bootstrap import RESAMPLES, percentile_interval, resampled_means
from robench.scoring.distances import Distances, aligned


@dataclass(frozen=True)
class Area:
    """The area from 0 to `up_to`, in the unit of epsilon.

    `lower` and `upper` are what the epsilons leave open: with a ladder, `upper` is the area of the
    step curve that keeps an image robust until the epsilon it broke at, `lower` of the one that
    drops it right after the epsilon before. They are equal where distances are measured. `low` and
    `high` are the ends of the bootstrap intervals of `lower` and `upper`.
    """

    up_to: float
    lower: float
    upper: float
    low: float
    high: float


@dataclass(frozen=True)
class AreaDifference:
    """The area of one victim less that of another on the same images.

    `difference` is that of the `upper` step curves, [`low`, `high`] its paired bootstrap interval;
    `lower` and `upper` bound the difference over what the epsilons leave open.
    """

    difference: float
    low: float
    high: float
    lower: float
    upper: float


def robust_accuracy(distances: Distances, epsilon: float) -> tuple[float, float]:
    """The lower and the upper bound of RA at `epsilon` (≥ 0); equal at an epsilon of the ladder.

    Raises ValueError for a negative epsilon or no image.
    """
    if not epsilon >= 0:
        raise ValueError(f"epsilon must not be negative, got {epsilon}")
    _check_images(distances)
    # d lies above `low`, unless it is known: then it is `low`.
    open_below = distances.low < distances.high
    surely = np.where(open_below, distances.low >= epsilon, distances.low > epsilon)
    return float(surely.mean()), float((distances.high > epsilon).mean())


def curve(distances: Distances) -> tuple[tuple[float, float], ...]:
    """The upper step curve as points (epsilon, RA from there to the next): every jump, from 0."""
    _check_images(distances)
    jumps = np.unique(distances.high[np.isfinite(distances.high)])
    epsilons = [0.0, *(float(jump) for jump in jumps if jump > 0)]
    return tuple((epsilon, float((distances.high > epsilon).mean())) for epsilon in epsilons)


def area(
    distances: Distances,
    *,
    up_to: float,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Area:
    """The mean of min(d, `up_to`) and its percentile interval, drawing whole groups of images.

    Raises ValueError unless `up_to` is positive and finite, and where there is no image, or one
    group only.
    """
    _check_limit(up_to)
    _check_images(distances)
    held = distances.sorted()
    ends = np.stack([np.minimum(held.low, up_to), np.minimum(held.high, up_to)])
    means = resampled_means(ends, groups=held.group_ids, resamples=resamples, seed=seed)
    lower, upper = ends.mean(axis=1)
    return Area(
        up_to=up_to,
        lower=float(lower),
        upper=float(upper),
        low=percentile_interval(means[0], confidence)[0],
        high=percentile_interval(means[1], confidence)[1],
    )


def area_difference(
    one: Distances,
    other: Distances,
    *,
    up_to: float,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> AreaDifference:
    """The area of victim `one` less that of `other`; images are matched by id and drawn together.

    Raises ValueError where `area` does, and for different images.
    """
    _check_limit(up_to)
    _check_images(one)
    pair = aligned({"one": one, "other": other})
    ends = np.stack(
        [np.minimum(end, up_to) for held in pair.values() for end in (held.low, held.high)]
    )
    means = resampled_means(
        ends[[1, 3]], groups=pair["one"].group_ids, resamples=resamples, seed=seed
    )
    one_lower, one_upper, other_lower, other_upper = (float(mean) for mean in ends.mean(axis=1))
    low, high = percentile_interval(means[0] - means[1], confidence)
    return AreaDifference(
        difference=one_upper - other_upper,
        low=low,
        high=high,
        lower=one_lower - other_upper,
        upper=one_upper - other_lower,
    )


def _check_limit(up_to: float) -> None:
    if not 0 < up_to < math.inf:
        raise ValueError(f"up_to must be positive and finite, got {up_to}")


def _check_images(distances: Distances) -> None:
    if not len(distances.image_ids):
        raise ValueError("no image: a curve needs at least one")
