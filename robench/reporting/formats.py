"""The formats a report can be written in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final, cast

from robench.errors import unknown
from robench.reporting.table import RunTable

# Named, not imported: a report in one format must not pay for the libraries of the others.
_WRITERS: Final[Mapping[str, str]] = {
    "markdown": "robench.reporting.markdown:to_markdown",
    "csv": "robench.reporting.delimited:to_csv",
    "json": "robench.reporting.delimited:to_json",
    "html": "robench.reporting.html:to_html",
    "latex": "robench.reporting.latex:to_latex",
}
FORMATS: Final[tuple[str, ...]] = tuple(_WRITERS)


def render(table: RunTable, format: str) -> str:
    """`table` as text in one of `FORMATS`, ending with a newline. Raises UserError for another."""
    if format not in _WRITERS:
        raise unknown("report format", format, FORMATS)
    module, function = _WRITERS[format].split(":")
    writer = cast(Callable[[RunTable], str], getattr(import_module(module), function))
    return writer(table)
