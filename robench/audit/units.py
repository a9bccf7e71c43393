"""Numbers as tables print them: percent or fractions, and how far they are rounded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from robench.errors import UserError

_NUMBER = re.compile(r"([+-]?\d+(?:\.(\d*))?|[+-]?\.(\d+))(?:[eE]([+-]?\d+))?\s*(%?)$")
_NOTHING: Final = frozenset({"", "-", "–", "—", "n/a", "na", "nan", "none", "null"})
_PERCENT: Final = frozenset({"percent", "%", "pct"})
_FRACTION: Final = frozenset({"fraction", "ratio", "share"})
_EXACT: Final = 1e-9  # half a unit of a number that is not rounded for reading
_COMPUTED: Final = 6  # decimals above which nobody rounded for reading


@dataclass(frozen=True)
class Number:
    """A printed number: its value, half a unit of its last digit, and its % sign."""

    value: float
    half: float
    percent_sign: bool
    decimals: int


@dataclass(frozen=True)
class Rate:
    """A rate as a fraction."""

    value: float
    half: float
    shown: str


def number(text: str, *, where: str, column: str) -> Number | None:
    """The number in a cell, None for an empty one. Raises UserError for any other text."""
    bare = text.strip()
    if bare.lower() in _NOTHING:
        return None
    found = _NUMBER.match(bare)
    if not found:
        raise UserError(f"{column}: not a number", where=where, got=text, expected="like 72.9")
    decimals = len(found[2] or found[3] or "") - int(found[4] or 0)
    half = max(0.5 * 10.0 ** -min(decimals, 300), _EXACT)
    return Number(float(bare.removesuffix("%")), half, bool(found[5]), max(decimals, 0))


def rates(
    cells: Sequence[tuple[Number, str]], units: Sequence[str], *, file: str, column: str
) -> list[Rate]:
    """The rates of one column as fractions; `cells` are numbers with their rows.

    A unit (`percent`, `fraction`) that stands beside a number, or a % sign, decides. Where there is
    none, a column of numbers up to 1 holds fractions and one of larger numbers percent. Raises
    UserError, naming rows, for a column that mixes both and for what is no rate.
    """
    given = [_unit(unit, cell) for unit, (cell, _) in zip(units, cells, strict=True)]
    unmarked = [(cell, row) for mark, (cell, row) in zip(given, cells, strict=True) if not mark]
    guess = _guess(unmarked, signed=any(given), file=file, column=column)
    # A leaderboard's 0.375 has all its digits, where others in its column show that it would.
    computed = any(cell.decimals > _COMPUTED for cell, _ in cells)
    read = []
    for mark, (cell, row) in zip(given, cells, strict=True):
        percent = (mark or guess) == "percent"
        scale = 100 if percent else 1
        value = cell.value / scale
        if not -_EXACT <= value <= 1 + _EXACT:
            raise UserError(f"{column}: no rate", where=f"{file} {row}", got=cell.value,
                            expected="0 to 100 (percent)" if percent else "0 to 1 (fraction)")
        half = _EXACT if computed else max(cell.half / scale, _EXACT)
        shown = f"{100 * value:.1f} %" if computed else _shown(cell, percent=percent)
        read.append(Rate(value, half, shown))
    return read


def epsilon(text: str, *, where: str) -> float | None:
    """An epsilon in pixel units, from `0.03` or `8/255`; None for an empty cell."""
    if "/" in text:
        try:
            return float(Fraction(text.strip().replace(" ", "")))
        except (ValueError, ZeroDivisionError):
            raise UserError("epsilon", where=where, got=text, expected="0.03 or 8/255") from None
    if text.strip().lower() in ("inf", "∞"):
        return float("inf")
    found = number(text, where=where, column="epsilon")
    return None if found is None else found.value


def _unit(unit: str, cell: Number) -> str:
    name = unit.strip().lower()
    if cell.percent_sign or name in _PERCENT:
        return "percent"
    return "fraction" if name in _FRACTION else ""


def _guess(
    unmarked: Sequence[tuple[Number, str]], *, signed: bool, file: str, column: str
) -> str:
    large = [row for cell, row in unmarked if cell.value > 1]
    small = [row for cell, row in unmarked if 0 < cell.value < 1]
    if unmarked and signed:
        raise _mixed(file, column, "with % or unit", "without", [row for _, row in unmarked])
    if large and small:
        raise _mixed(file, column, "above 1", "between 0 and 1", small)
    return "percent" if large else "fraction"


def _mixed(file: str, column: str, some: str, others: str, rows: Sequence[str]) -> UserError:
    named = ", ".join(rows[:5]) + (" …" if len(rows) > 5 else "")
    return UserError(f"{column}: percent and fractions in one column: some numbers {some}, "
                     f"others {others} ({named})", where=file,
                     expected="one unit, or a column 'unit' of percent or fraction")


def _shown(cell: Number, *, percent: bool) -> str:
    if percent:
        return f"{cell.value:.{min(cell.decimals, 2)}f} %"
    return f"{cell.value:.{cell.decimals}f}"
