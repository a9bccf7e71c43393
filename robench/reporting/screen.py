"""Leaderboards for a terminal: at 100 columns everything, on a narrower one the main numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from robench.reporting.layout import Block, Line, layout
from robench.reporting.table import RunTable

_GAP: Final = 2
_ATTACK_AT_LEAST: Final = 12


@dataclass(frozen=True)
class _Column:
    """A column of numbers; of those that may be left out, the highest `leave_out` goes first."""

    title: str
    text: Callable[[Line], str]
    leave_out: int = 0


_NUMBERS: Final = (
    _Column("ε", lambda line: line.epsilon),
    _Column("clean %", lambda line: line.clean),
    _Column("robust %", lambda line: line.robust),
    _Column("[low, high]", lambda line: line.robust_interval, leave_out=1),
    _Column("ASR %", lambda line: line.asr),
    _Column("[low, high]", lambda line: line.asr_interval, leave_out=3),
    _Column("broken", lambda line: line.broken_counts),
    _Column("distance", lambda line: line.distance, leave_out=2),
)


def screen_table(table: RunTable, *, width: int = 100) -> list[RenderableType]:
    """What to print, in order, on a terminal of `width` columns.

    That is: caption, header, a table per victim, the meaning of the flags, findings, failed cells,
    run. All tables have the same column widths, so their numbers stand below each other. A number
    is never wrapped or shortened; where they do not fit, the interval of the ASR, then the
    distance, then the interval of the robust accuracy are left out. A long attack name is wrapped.
    """
    arranged = layout(table)
    marks = {flag: chr(ord("a") + place) for place, (flag, _) in enumerate(arranged.legend)}
    parts: list[RenderableType] = [
        Text(arranged.title, style="bold"),
        Text(arranged.caption, style="dim"),
    ]
    if arranged.blocks:
        parts += _tables(arranged.blocks, marks, width=width)
    parts += [
        Text.assemble((marks[flag], "yellow"), f"  {flag}: {meaning}")
        for flag, meaning in arranged.legend
    ]
    parts += [
        Text.assemble((f"{name}  ", "yellow"), said) for name, said in arranged.findings
    ]
    parts += [
        Text.assemble(("failed ", "red"), f"{label}: {error}") for label, error in arranged.failures
    ]
    parts.append(Text(f"run {table.run_id}", style="dim"))
    return parts


def _tables(
    blocks: Sequence[Block], marks: Mapping[str, str], *, width: int
) -> Iterator[RenderableType]:
    lines = [line for block in blocks for line in block.lines]
    columns = list(_NUMBERS)
    if marks:
        columns.append(_Column("flag", lambda line: "".join(marks[flag] for flag in line.flags)))
    while _needed(columns, lines) + _ATTACK_AT_LEAST > width:
        least = max(columns, key=lambda column: column.leave_out)
        if not least.leave_out:
            break
        columns.remove(least)
    space = max(_ATTACK_AT_LEAST, width - _needed(columns, lines))
    attack = min(space, max(len(line.attack) for line in lines))
    widths = [attack, *(_width(column, lines) for column in columns)]

    header = _table(widths)
    # Text, not str: rich would read the brackets of an interval as markup.
    header.add_row(*(Text(title) for title in ("attack", *(c.title for c in columns))), style="dim")
    yield Padding(header, (1, 0, 0, 0))
    for block in blocks:
        if block.heading:
            yield Padding(Text(block.heading, style="cyan"), (1, 0, 0, 0))
        body = _table(widths)
        for line in block.lines:
            texts = (Text(text) for text in (line.attack, *(c.text(line) for c in columns)))
            body.add_row(*texts, style="bold" if line.worst_case else "")
        yield body
    yield Text("")


def _table(widths: Sequence[int]) -> Table:
    attack, *numbers = widths
    table = Table(box=None, show_header=False, padding=(0, _GAP, 0, 0), pad_edge=False)
    table.add_column(width=attack, overflow="fold")
    for number in numbers:
        table.add_column(width=number, justify="right", no_wrap=True)
    return table


def _width(column: _Column, lines: Sequence[Line]) -> int:
    return max(len(column.title), *(len(column.text(line)) for line in lines))


def _needed(columns: Sequence[_Column], lines: Sequence[Line]) -> int:
    return sum(_GAP + _width(column, lines) for column in columns)
