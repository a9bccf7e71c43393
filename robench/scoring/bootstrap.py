"""Paired bootstrap: means of several quantities over the same resampled images.

Efron & Tibshirani (An Introduction to the Bootstrap, 1993), percentile intervals, section 13.3.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from robench.scoring.worst_case import Floats

RESAMPLES = 2000
#: Numbers drawn at once: 32 MiB of counts.
_AT_ONCE = 4_000_000


def resampled_means(
    values: npt.ArrayLike,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    groups: npt.ArrayLike | None = None,
) -> Floats:
    """Means of the rows of `values` (K × N) over images drawn with replacement: K × `resamples`.

    One draw of images serves all rows, so differences and ratios of the means are paired. With
    `groups` (length N) whole groups (patients) are drawn instead of images. The result depends on
    the order of the images: callers sort them by id.

    Raises ValueError for no image, NaN, several images in one group and no other, or fewer than
    100 resamples.
    """
    table = np.atleast_2d(np.asarray(values, dtype=np.float64))
    n = table.shape[1]
    if n == 0:
        raise ValueError("no image to resample")
    if np.isnan(table).any():
        raise ValueError("NaN among the values to resample")
    if resamples < 100:
        raise ValueError(f"resamples must be at least 100, got {resamples}")
    if groups is None:
        sums, sizes = table, np.ones(n)
    else:
        sums, sizes = _by_group(table, np.asarray(groups))
    units = len(sizes)
    random = np.random.default_rng(seed)
    means = np.empty((len(table), resamples))
    step = max(1, _AT_ONCE // units)
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        drawn = random.integers(0, units, size=(count, units))
        drawn += units * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units)
        means[:, start : start + count] = (sums @ times.T) / (times @ sizes)
    return means


def percentile_interval(samples: Floats, confidence: float = 0.95) -> tuple[float, float]:
    """The two-sided percentile interval. Raises ValueError unless 0 < confidence < 1."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    low, high = np.quantile(samples, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _by_group(table: Floats, groups: npt.NDArray[np.generic]) -> tuple[Floats, Floats]:
    if groups.shape != (table.shape[1],):
        raise ValueError(f"one group for each image: {table.shape[1]} images, got {groups.shape}")
    names, place = np.unique(groups.astype(str), return_inverse=True)
    if len(names) < 2 and table.shape[1] > 1:
        raise ValueError(f"one group only ('{names[0]}'): nothing to resample")
    sums = np.stack([np.bincount(place, row, minlength=len(names)) for row in table])
    return sums.astype(np.float64), np.bincount(place, minlength=len(names)).astype(np.float64)
