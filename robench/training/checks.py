"""Checks of a recipe's parameters: each raises UserError naming the parameter."""

from __future__ import annotations

import math
from collections.abc import Sequence

from robench.errors import UserError, nearest


def check_whole(name: str, value: object, *, low: int) -> None:
    """`value` is an integer of at least `low`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise _wrong(name, value, f"a whole number of at least {low}")


def check_positive(name: str, value: object, *, high: float = math.inf) -> None:
    """`value` is a finite number above 0 and not above `high`."""
    if not _is_finite(value) or not 0 < float(value) <= high:  # type: ignore[arg-type]
        limit = "" if high == math.inf else f" and not above {high:g}"
        raise _wrong(name, value, f"a number above 0{limit}")


def check_share(name: str, value: object) -> None:
    """`value` is a number of at least 0 and below 1."""
    if not _is_finite(value) or not 0 <= float(value) < 1:  # type: ignore[arg-type]
        raise _wrong(name, value, "a number of at least 0 and below 1")


def check_not_negative(name: str, value: object) -> None:
    """`value` is a finite number of at least 0."""
    if not _is_finite(value) or float(value) < 0:  # type: ignore[arg-type]
        raise _wrong(name, value, "a number of at least 0")


def check_flag(name: str, value: object) -> None:
    """`value` is true or false."""
    if not isinstance(value, bool):
        raise _wrong(name, value, "true or false")


def check_choice(name: str, value: object, names: Sequence[str]) -> None:
    """`value` is one of `names`."""
    if value not in names:
        close = nearest(value, names) if isinstance(value, str) else None
        raise _wrong(name, value, f"one of {', '.join(names)}", close)


def _is_finite(value: object) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value)  # type: ignore[arg-type]


def _wrong(name: str, value: object, expected: str, close: str | None = None) -> UserError:
    return UserError(
        f"parameter '{name}' is not usable", got=value, expected=expected, nearest=close
    )
