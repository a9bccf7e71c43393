"""The one table that markdown, HTML and LaTeX share, as cells that only need markup."""

from __future__ import annotations

from dataclasses import dataclass

from robench.reporting.layout import Layout, Line


@dataclass(frozen=True)
class Column:
    """A column's title; numbers stand to the right. Neighbours may share a title above theirs."""

    title: str
    numeric: bool
    above: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell's plain text; of a leaderboard only worst-case rows are bold."""

    text: str
    bold: bool


@dataclass(frozen=True)
class Grid:
    """Columns, and per victim the rows; every row has as many cells as there are columns."""

    columns: tuple[Column, ...]
    blocks: tuple[tuple[tuple[Cell, ...], ...], ...]


def grid(layout: Layout) -> Grid:
    """The table of `layout`: a block's labels stand in its first row only.

    The column of flags is left out where no row has any.
    """
    flagged = bool(layout.legend)
    columns = (
        *(Column(title, numeric=title.endswith("%")) for title in layout.labels),
        Column("attack", numeric=False),
        Column("ε", numeric=True),
        Column("clean % (right/n)", numeric=True),
        Column("robust % [low, high]", numeric=True),
        Column("ASR % [low, high] (broken/right)", numeric=True),
        Column("mean distance", numeric=True),
        *((Column("flags", numeric=False),) if flagged else ()),
    )
    blocks = []
    for block in layout.blocks:
        blank = ("",) * len(block.labels)
        rows = []
        for place, line in enumerate(block.lines):
            labels = [Cell(label, bold=False) for label in (blank if place else block.labels)]
            numbers = [Cell(value, bold=line.worst_case) for value in _numbers(line)]
            flags = [Cell(", ".join(line.flags), bold=False)] if flagged else []
            rows.append((*labels, *numbers, *flags))
        blocks.append(tuple(rows))
    return Grid(columns, tuple(blocks))


def _numbers(line: Line) -> tuple[str, ...]:
    return (
        line.attack,
        line.epsilon,
        f"{line.clean} ({line.clean_counts})",
        f"{line.robust} {line.robust_interval}".rstrip(),
        " ".join(part for part in (line.asr, line.asr_interval, f"({line.broken_counts})") if part),
        line.distance,
    )
