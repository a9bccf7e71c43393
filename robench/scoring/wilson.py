"""The Wilson score interval of a rate (Wilson, JASA 22, 1927)."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The two-sided interval (low, high) of `successes` out of `n`, without continuity correction.

    The low end is exactly 0 for no success and the high end exactly 1 for n of n; both are NaN
    for n = 0. Raises ValueError unless 0 <= successes <= n and 0 < confidence < 1.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must be from 0 to n = {n}, got {successes}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    if n == 0:
        return math.nan, math.nan
    return score_interval(successes / n, n, confidence)


def score_interval(p: float, n: float, confidence: float) -> tuple[float, float]:
    """As `wilson`, for a rate `p` of `n` > 0 images, an effective number that may be no integer."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # The interval holds p by its definition; rounding must not take that away.
    low = 0.0 if p == 0 else max(0.0, min(centre - half, p))
    high = 1.0 if p == 1 else min(1.0, max(centre + half, p))
    return low, high
