"""The formats a report can be written in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final, cast

from robench.errors import unknown
from robench.reporting.layouts import LEADERBOARD, check_layout, sheet
from robench.reporting.sheet import Sheet
from robench.reporting.table import RunTable

# Named, not imported: a report in one format must not pay for the libraries of the others.
_WRITERS: Final[Mapping[str, str]] = {
    "markdown": "robench.reporting.markdown:to_markdown",
    "csv": "robench.reporting.delimited:to_csv",
    "json": "robench.reporting.delimited:to_json",
    "html": "robench.reporting.html:to_html",
    "latex": "robench.reporting.latex:to_latex",
}
_SHEET_WRITERS: Final[Mapping[str, str]] = {
    "markdown": "robench.reporting.markdown:sheet_to_markdown",
    "csv": "robench.reporting.delimited:sheet_to_csv",
    "json": "robench.reporting.delimited:sheet_to_json",
    "html": "robench.reporting.html:sheet_to_html",
    "latex": "robench.reporting.latex:sheet_to_latex",
}
FORMATS: Final[tuple[str, ...]] = tuple(_WRITERS)


def render(table: RunTable, format: str, *, layout: str = LEADERBOARD) -> str:
    """`table` in one of `FORMATS` and of `LAYOUTS`, ending with a newline.

    Raises UserError for another, and where the run has nothing that the layout shows.
    """
    _check_format(format)
    check_layout(layout)
    if layout != LEADERBOARD:
        return render_sheet(sheet(table, layout), format)
    return cast(Callable[[RunTable], str], _named(_WRITERS[format]))(table)


def render_sheet(page: Sheet, format: str) -> str:
    """A sheet in one of `FORMATS`, ending with a newline. Raises UserError for another."""
    _check_format(format)
    return cast(Callable[[Sheet], str], _named(_SHEET_WRITERS[format]))(page)


def _check_format(format: str) -> None:
    if format not in _WRITERS:
        raise unknown("report format", format, FORMATS)


def _named(writer: str) -> object:
    module, function = writer.split(":")
    return getattr(import_module(module), function)
