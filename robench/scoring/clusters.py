"""Rates whose images come in groups (several of one patient): variance, interval, design effect.

The linearised variance of a mean of clusters (Cochran, Sampling Techniques, 1977, section 9A); the
interval at the effective sample size (Korn & Graubard, Survey Methodology 24, 1998), by Wilson.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robench.scoring.wilson import score_interval


@dataclass(frozen=True)
class ClusteredRate:
    """`rate` of `n` images in `n_groups` groups.

    `design_effect` is the variance over that of `n` independent images, NaN at a rate of 0 or 1,
    where both are 0.
    """

    rate: float
    low: float
    high: float
    variance: float
    design_effect: float
    n: int
    n_groups: int


def clustered_rate(
    values: npt.ArrayLike, groups: npt.ArrayLike, *, confidence: float = 0.95
) -> ClusteredRate:
    """The rate of true `values` (length N), its variance by `groups` (ids, length N), its interval.

    Var = n⁻² Σ_g (Σ_{i∈g} (r_i − p))², without a correction for few groups: with fewer than about
    30 it is too small. Where each image is its own group it is p(1 − p)/n. The interval is Wilson's
    at n/design effect images, never more than n; at a rate of 0 or 1, at as many images as there
    are groups.

    Raises ValueError for no image, unequal lengths, fewer than two groups (data without groups
    has each image as its own), values that are not 0 or 1, or a confidence outside (0, 1).
    """
    r, names = np.asarray(values, dtype=np.float64), np.asarray(groups)
    if r.ndim != 1 or names.shape != r.shape:
        raise ValueError(f"one group for each value: got shapes {r.shape} and {names.shape}")
    if not len(r):
        raise ValueError("no image: a rate needs at least one")
    if not np.isin(r, (0.0, 1.0)).all():
        raise ValueError("values of a rate must be 0 or 1")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    known, place = np.unique(names.astype(str), return_inverse=True)
    if len(known) < 2:
        raise ValueError(f"one group only ('{known[0]}'): no variance between groups")
    n, p = len(r), float(r.mean())
    sums = np.bincount(place, r - p, minlength=len(known))
    variance = float((sums**2).sum()) / n**2
    if p in (0.0, 1.0):
        # n identical images of few patients show no more than that many patients.
        design_effect, effective = math.nan, float(len(known))
    else:
        design_effect = variance / (p * (1 - p) / n)
        effective = n / max(1.0, design_effect)
    low, high = score_interval(p, effective, confidence)
    return ClusteredRate(p, low, high, variance, design_effect, n, len(known))
