"""Tables of lines that end with their flags, and the same numbers as one long row each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from robench.reporting import text
from robench.reporting.grid import Cell, Column, Grid
from robench.scoring.rows import Row

#: Of a long row: what it is of, then the number. `of` says of which class, draw or other victim
#: it is; `why` why there is none.
COLUMNS: Final = (
    "dataset", "model", "recipe", "defense", "pruning_rate", "sparsity", "threat", "surrogate",
    "norm", "seed", "attack", "epsilon", "measure", "of", "value", "low", "high", "n", "why",
    "flags",
)
_OF_VICTIM: Final = COLUMNS[:10]
_BLANK: Final = Cell("", bold=False)


@dataclass(frozen=True)
class Line:
    """A row of a table: what is said once per block, what names the line, numbers, flags."""

    block: tuple[Cell, ...]
    names: tuple[str, ...]
    values: tuple[str, ...]
    flags: tuple[str, ...]
    bold: bool = False


@dataclass(frozen=True)
class Number:
    """A number with its interval, or why there is none."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    why: str = ""


def lines_grid(columns: Iterable[Column], blocks: Iterable[Sequence[Line]]) -> Grid:
    """The table of some lines; a column of flags ends it where a line has any."""
    held = [list(lines) for lines in blocks]
    flagged = any(line.flags for lines in held for line in lines)
    heads = (*columns, *((Column("flags", numeric=False),) if flagged else ()))
    return Grid(heads, tuple(
        tuple(
            (*(line.block if place == 0 else (_BLANK,) * len(line.block)),
             *(Cell(one, bold=line.bold and one != "") for one in (*line.names, *line.values)),
             *((Cell(", ".join(line.flags), bold=False),) if flagged else ()))
            for place, line in enumerate(lines)
        )
        for lines in held
    ))


def long_row(
    row: Row, measure: str, number: Number, *, attack: str, epsilon: float, n: int,
    flags: Iterable[str], of: str = "",
) -> dict[str, Any]:
    """One number for programs; `row` says of which victim it is."""
    return {
        **{name: row[name] for name in _OF_VICTIM}, "attack": attack, "epsilon": epsilon,
        "measure": measure, "of": of, "value": number.value, "low": number.low,
        "high": number.high, "n": n, "why": number.why, "flags": ",".join(flags),
    }


def rate_text(number: Number) -> str:
    """A rate in percent with its interval; a dash where there is none."""
    return f"{text.percent(number.value)} {text.interval(number.low, number.high)}".rstrip()


def third(value: float) -> str:
    """An area, a price or an AUROC, with three significant digits."""
    return text.distance(value)
