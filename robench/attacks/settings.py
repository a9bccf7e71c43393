"""Checks of settings that several attacks share; each raises ValueError naming the setting."""

from __future__ import annotations

import math

from robench.attacks.balls import Norm


def check_norm(norm: Norm) -> Norm:
    if norm not in ("linf", "l2"):
        raise ValueError(f"norm: got {norm!r}, expected linf or l2")
    return norm


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
