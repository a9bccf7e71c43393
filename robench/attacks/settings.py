"""Checks of settings that several attacks share; each raises ValueError naming the setting."""

from __future__ import annotations

import math
from typing import TypeVar

from robench.attacks.balls import Norm

Word = TypeVar("Word", bound=str)


def check_norm(norm: Norm, allowed: tuple[Norm, ...] = ("linf", "l2")) -> Norm:
    return check_word(norm, "norm", allowed)


def check_word(word: Word, name: str, allowed: tuple[Word, ...]) -> Word:
    if word not in allowed:
        listed = " or ".join((", ".join(allowed[:-1]), allowed[-1]))
        raise ValueError(f"{name}: got {word!r}, expected {listed}")
    return word


def check_number(
    number: float, name: str, *, low: float = 0.0, high: float = math.inf, open_low: bool = False
) -> float:
    """A finite number from `low` to `high`, or, with `open_low`, above `low`."""
    real = isinstance(number, (int, float)) and not isinstance(number, bool)
    inside = real and math.isfinite(number) and low <= number <= high
    if not inside or (open_low and number == low):
        bottom = f"> {low:g}" if open_low else f"≥ {low:g}"
        top = "" if high == math.inf else f" and ≤ {high:g}"
        raise ValueError(f"{name}: got {number!r}, expected a number {bottom}{top}")
    return number


def check_steps(steps: int, name: str = "steps") -> int:
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"{name}: got {steps!r}, expected a whole number ≥ 1")
    return steps


def check_step_size(step_size: float | None) -> float | None:
    if step_size is None:
        return None
    number = isinstance(step_size, (int, float)) and not isinstance(step_size, bool)
    if not (number and math.isfinite(step_size) and step_size > 0):
        raise ValueError(f"step_size: got {step_size!r}, expected a number > 0 in pixel units")
    return step_size
