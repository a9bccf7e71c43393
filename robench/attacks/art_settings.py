"""Settings of ART's attacks, as fields of a dataclass: each says what it takes, and is checked.

They carry the names that ART gives them, and its defaults unless the card says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import field, fields
from typing import Any

from robench.attacks.targets import check_target


def whole(default: int | None, *, least: int = 1) -> Any:
    """A whole number ≥ `least`; None too where that is the default."""
    def fits(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= least

    return _checked(default, fits, f"a whole number ≥ {least}")


def number(
    default: float | None, *, above: float = -math.inf, least: float = -math.inf,
    below: float = math.inf, most: float = math.inf,
) -> Any:
    """A finite number within the limits given; None too where that is the default."""
    def fits(value: Any) -> bool:
        real = isinstance(value, (int, float)) and not isinstance(value, bool)
        return real and math.isfinite(value) and above < value < below and least <= value <= most

    limits = ((">", above), ("≥", least), ("<", below), ("≤", most))
    stated = " and ".join(f"{sign} {limit:g}" for sign, limit in limits if math.isfinite(limit))
    return _checked(default, fits, f"a number {stated}".strip())


def choice(default: str | None, *allowed: str) -> Any:
    """One of some words; None too where that is the default."""
    return _checked(default, lambda value: value in allowed, " or ".join(allowed))


def flag(default: bool) -> Any:
    """True or false."""
    return _checked(default, lambda value: isinstance(value, bool), "true or false")


def classes() -> Any:
    """A target as `robench.attacks.targets` has it, or None, the default."""
    return field(default=None, metadata={"target": True, "optional": True})


def interval(low: float, high: float, *, least: float, most: float) -> Any:
    """Two numbers in ascending order, within the limits given."""
    def fits(value: Any) -> bool:
        pair = isinstance(value, (list, tuple)) and len(value) == 2
        return pair and all(isinstance(end, (int, float)) for end in value) and bool(
            least <= value[0] <= value[1] <= most
        )

    return _checked((low, high), fits, f"[low, high] from {least:g} to {most:g}")


def some_of(*allowed: int) -> Any:
    """Some of these numbers, each once; all of them by default."""
    def fits(value: Any) -> bool:
        listed = isinstance(value, (list, tuple)) and len(value) > 0
        return listed and set(value) <= set(allowed) and len(set(value)) == len(value)

    return _checked(allowed, fits, f"a list of some of {', '.join(map(str, allowed))}")


def check_fields(attack: Any) -> None:
    """Raise ValueError naming the first setting of a dataclass that does not fit."""
    for item in fields(attack):
        value = getattr(attack, item.name)
        if value is None and item.metadata["optional"]:
            continue
        if "target" in item.metadata:
            check_target(value)
        elif not item.metadata["fits"](value):
            optional = ", or null" if item.metadata["optional"] else ""
            raise ValueError(
                f"{item.name}: got {value!r}, expected {item.metadata['expected']}{optional}"
            )


def _checked(default: Any, fits: Callable[[Any], bool], expected: str) -> Any:
    return field(
        default=default,
        metadata={"fits": fits, "expected": expected, "optional": default is None},
    )
