"""Leaderboards as GitHub-flavoured markdown that also reads well unrendered."""

from __future__ import annotations

import re

from robench.reporting.grid import Cell, Column, grid
from robench.reporting.layout import NOTE, layout
from robench.reporting.sheet import Sheet
from robench.reporting.standings import TITLE, standings
from robench.reporting.table import RunTable

# An underscore inside a word ("convnext_tiny") is no markup, and reads better without a backslash.
# A bracket is markup only where a target follows it, so intervals stay as they are.
_MARKUP = re.compile(r"[\\`*|<~]|&(?=[#\w])|(?<!\w)_|_(?!\w)|\](?=[(\[:])")


def to_markdown(table: RunTable) -> str:
    """Title, caption, table, the meaning of flags, findings, failed cells and provenance."""
    arranged = layout(table)
    parts = [f"# {escape(arranged.title)}", escape(arranged.caption)]
    if arranged.blocks:
        cells = grid(arranged)
        rows = [row for block in cells.blocks for row in block]
        parts += [_table(cells.columns, rows), escape(NOTE)]
    apart = standings(table)
    if apart is not None:
        rows = [row for block in apart.table.blocks for row in block]
        parts += [f"## {TITLE}", _table(apart.table.columns, rows), escape(apart.note)]
    if arranged.legend:
        parts.append(_section("Flags", arranged.legend))
    if arranged.findings:
        parts.append(_section("Findings", arranged.findings))
    if arranged.failures:
        parts.append(_section("Failed cells", arranged.failures))
    parts.append(_section("Provenance", arranged.provenance))
    return "\n\n".join(parts) + "\n"


def sheet_to_markdown(sheet: Sheet) -> str:
    """Title, what must be known first, each table below its caption, notes and sections."""
    parts = [f"# {escape(sheet.title)}", *(escape(line) for line in sheet.lead)]
    for panel in sheet.panels:
        rows = [row for block in panel.grid.blocks for row in block]
        parts += [escape(panel.caption), _table(panel.grid.columns, rows)]
    parts += [escape(note) for note in sheet.notes]
    parts += [_section(title, pairs) for title, pairs in sheet.sections if pairs]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """`text` on one line, without characters that markdown would take for markup."""
    return _MARKUP.sub(lambda found: "\\" + found.group(), " ".join(text.split()))


def _table(columns: tuple[Column, ...], rows: list[tuple[Cell, ...]]) -> str:
    titles = [escape(f"{column.above} {column.title}".strip()) for column in columns]
    lines = [[_cell(cell) for cell in row] for row in rows]
    widths = [
        max(3, *(len(line[place]) for line in (titles, *lines))) for place in range(len(columns))
    ]
    rule = [
        "-" * (width - 1) + ":" if column.numeric else "-" * width
        for column, width in zip(columns, widths, strict=True)
    ]
    return "\n".join(_row(line, widths, columns) for line in (titles, rule, *lines))


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    return f"**{text}**" if cell.bold and text else text


def _row(texts: list[str], widths: list[int], columns: tuple[Column, ...]) -> str:
    padded = (
        text.rjust(width) if column.numeric else text.ljust(width)
        for text, width, column in zip(texts, widths, columns, strict=True)
    )
    return "| " + " | ".join(padded) + " |"


def _section(title: str, pairs: tuple[tuple[str, str], ...]) -> str:
    lines = [f"- {escape(name)}: {escape(text)}" for name, text in pairs]
    return "\n".join([f"## {title}", "", *lines])
