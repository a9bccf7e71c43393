"""`robench list`: what exists. No torch."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from robench.cli import console

_KINDS = ("models", "attacks", "defenses", "datasets", "recipes", "matrices")


def list_(
    kind: Annotated[str, typer.Argument(help=f"{', '.join(_KINDS)}.")],
    format: Annotated[str, typer.Option("--format", "-f", help="table or json.")] = "table",
) -> None:
    """List what a matrix can name."""
    from robench.errors import unknown

    if kind not in _KINDS:
        raise unknown("kind", kind, _KINDS)
    if format not in ("table", "json"):
        raise unknown("format", format, ("table", "json"))
    rows = _matrices() if kind == "matrices" else _things(kind)
    if format == "json":
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("name", no_wrap=True)
    table.add_column("summary")
    table.add_column("from", no_wrap=True)
    for row in rows:
        summary = Text(row["summary"])
        if row.get("error"):
            summary = Text.assemble(("broken: ", "bold red"), row["error"])
        table.add_row(Text(row["name"]), summary, Text(row["origin"]))
    console.out().print(table)


def _things(kind: str) -> list[dict[str, Any]]:
    from robench.registry import KINDS, Registry
    from robench.registry.describe import describe

    (one,) = (known for known in KINDS if f"{known}s" == kind)
    return describe(Registry.discover(), one)


def _matrices() -> list[dict[str, Any]]:
    from robench.resources import matrices_folder

    rows = []
    for path in sorted(matrices_folder().glob("*.yaml"), key=lambda path: path.stem):
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        summary = first.removeprefix("#").strip() if first.startswith("#") else ""
        rows.append({"name": path.stem, "summary": summary, "origin": "robench", "error": None})
    return rows
