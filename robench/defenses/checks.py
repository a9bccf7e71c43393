"""Checks of a defense's settings: each raises UserError naming the setting."""

from __future__ import annotations

import math
from collections.abc import Sequence

from robench.errors import UserError, nearest


def check_whole(name: str, value: object, *, low: int, high: int | None = None) -> int:
    """`value`, an integer of at least `low` and at most `high`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low or (
        high is not None and value > high
    ):
        span = f"≥ {low}" if high is None else f"from {low} to {high}"
        raise UserError(name, got=value, expected=f"a whole number {span}")
    return value


def check_odd(name: str, value: object) -> int:
    """`value`, an odd integer of at least 1: the side of a window that has a middle."""
    side = check_whole(name, value, low=1)
    if side % 2 == 0:
        raise UserError(name, got=value, expected="an odd whole number ≥ 1")
    return side


def check_number(
    name: str, value: object, *, low: float = -math.inf, above: float = -math.inf,
    high: float = math.inf, below: float = math.inf,
) -> float:
    """`value`, a finite number in [`low`, `high`], above `above` and below `below`."""
    if (
        isinstance(value, bool) or not isinstance(value, (int, float))
        or not (max(low, above) <= value <= min(high, below))
        or value in (above, below) or not math.isfinite(value)
    ):
        left = f"({above:g}" if above >= low else f"[{low:g}"
        right = f"{below:g})" if below <= high else f"{high:g}]"
        raise UserError(name, got=value, expected=f"a number in {left}, {right}")
    return float(value)


def check_word(name: str, value: object, words: Sequence[str]) -> str:
    """`value`, one of `words`."""
    if value not in words:
        close = nearest(value, words) if isinstance(value, str) else None
        raise UserError(name, got=value, expected=f"one of {', '.join(words)}", nearest=close)
    return str(value)
