"""A report of several tables without its markup, and the same numbers as long rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from robench.reporting.grid import Grid

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Panel:
    """One table: what all of its numbers have in common, and its cells."""

    caption: str
    grid: Grid


@dataclass(frozen=True)
class Sheet:
    """A report; all texts are plain and need the format's escapes.

    `lead` are paragraphs before the tables, `notes` after them; `sections` are titled lists of a
    name and what is said of it, and may be empty. `columns` and `rows` hold the numbers of all
    panels for programs, rates as fractions in [0,1].
    """

    title: str
    layout: str
    run_id: str
    panels: tuple[Panel, ...]
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    lead: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    sections: tuple[tuple[str, Pairs], ...] = ()
