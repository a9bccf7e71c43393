"""How single values read in the formats made for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

MISSING: Final = "–"
_NORMS: Final = {"linf": "L∞", "l2": "L2", "l1": "L1", "l0": "L0"}


def percent(fraction: float) -> str:
    """A rate in [0,1] as percent with one decimal, without the sign."""
    return MISSING if math.isnan(fraction) else f"{100 * fraction:.1f}"


def rate(fraction: float) -> str:
    """A rate somebody chose (a pruning rate), as percent with as many decimals as it has."""
    return MISSING if math.isnan(fraction) else f"{100 * fraction:.6g}"


def interval(low: float, high: float) -> str:
    """An interval of rates as percent; empty where there is none."""
    return "" if math.isnan(low) or math.isnan(high) else f"[{percent(low)}, {percent(high)}]"


def epsilon(value: float, written: Mapping[float, str]) -> str:
    """An epsilon as it was `written`, else the shorter of its decimal and its k/255 form."""
    if value in written:
        return written[value]
    if math.isinf(value):
        return "∞"
    forms = [repr(float(value)).removesuffix(".0")]
    steps = value * 255
    if abs(steps - round(steps)) < 1e-9:
        forms.append(f"{round(steps)}/255")
    return min(forms, key=len)


def distance(value: float) -> str:
    """A mean distance with three significant digits."""
    if math.isnan(value):
        return MISSING
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def norm(name: str) -> str:
    """A norm as it is usually written."""
    return _NORMS.get(name, name)


def seconds(value: float) -> str:
    """A duration: `8.4 s`, `3 min 5 s`, `2 h 10 min`."""
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def last_line(error: str) -> str:
    """What a failure says: its only line, or the last of a traceback, at most 300 characters."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    if not lines:
        return "no message"
    line = lines[-1] if lines[0].startswith("Traceback") else lines[0]
    return line if len(line) <= 300 else line[:299] + "…"
