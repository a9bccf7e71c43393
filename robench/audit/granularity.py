"""Which counts can stand behind a rounded rate (GRIM: Brown & Heathers, SPPS 8(4), 2017)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, floor

Interval = tuple[float, float]
"""The values, as fractions, that a printed number can have been rounded from; ends included."""

_SLACK = 1e-9  # a count that lies on an end, but for the rounding of floats, fits


def counts(n: int, interval: Interval) -> range:
    """The whole k, 0 ≤ k ≤ n, with k/n in `interval`."""
    low, high = interval
    return range(max(0, ceil(low * n - _SLACK * n)), min(n, floor(high * n + _SLACK * n)) + 1)


def fits(n: int, intervals: Iterable[Interval]) -> bool:
    """Whether each interval holds some k/n."""
    return all(counts(n, interval) for interval in intervals)


def shared(sizes: Iterable[int], intervals: Sequence[Interval]) -> list[int]:
    """Those of `sizes` that fit all `intervals`."""
    return [n for n in sizes if fits(n, intervals)]


def neighbours(n: int, value: float) -> tuple[int, int]:
    """The counts whose shares lie around `value`: the largest below it, the smallest above."""
    below = min(max(0, floor(value * n)), n - 1)
    return below, below + 1
