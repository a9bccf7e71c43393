"""The saliency map over pairs by trying them all, in plain Python."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence


def score(gain: Sequence[float], relief: Sequence[float], first: int, second: int) -> float:
    """−α·β of a pair where α > 0 and β < 0, else 0."""
    ahead, under = gain[first] + gain[second], relief[first] + relief[second]
    return ahead * under if ahead > 0 and under > 0 else 0.0


def best_by_trying(
    gain: Sequence[float], relief: Sequence[float], allowed: Collection[int]
) -> float:
    """The largest score of any pair of allowed features; 0 where there is none."""
    return max((score(gain, relief, *pair) for pair in itertools.combinations(allowed, 2)),
               default=0.0)
