"""`robench check`: does a third party's thing keep its contract?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from robench.cli import console

if TYPE_CHECKING:
    from robench.testing import Check
    from robench.testing.registered import Thing

Plugin = Annotated[
    str | None,
    typer.Argument(help="An installed distribution, or the name of one thing (pgd, attack/pgd). "
                        "Default: everything of third parties.", show_default=False),
]


def check(plugin: Plugin = None) -> None:
    """Check the conformance of models, attacks, defenses, data sets and recipes."""
    from robench.registry import Registry
    from robench.testing.registered import check_registered, find

    registry = Registry.discover()
    things = find(registry, plugin)
    screen = console.out()
    failed, total = 0, 0
    for thing in things:
        screen.print(_heading(thing))
        checks = check_registered(registry, thing)
        screen.print(_lines(checks))
        failed += sum(not check.passed for check in checks)
        total += len(checks)
    if not things:
        screen.print("no plugins are installed")
        return
    screen.print(Text.assemble(
        f"{len(things)} checked: ",
        (f"{failed} of {total} checks failed", "bold red") if failed
        else (f"all {total} checks passed", "green"),
    ))
    if failed:
        raise typer.Exit(1)


def _heading(thing: Thing) -> Text:
    return Text.assemble((f"{thing.kind} {thing.name}", "bold"), (f"  {thing.origin}", "dim"))


def _lines(checks: list[Check]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, width=6)
    table.add_column(no_wrap=True, width=_name_width(checks))
    table.add_column(overflow="fold")
    for check in checks:
        mark = Text("  FAIL", "bold red") if not check.passed else (
            Text("  ok", "green") if check.applies else Text("  –", "dim")
        )
        message = Text(check.message, "dim" if check.passed else "")
        table.add_row(mark, Text(check.name), message)
    return table


def _name_width(checks: list[Check]) -> int:
    return max(len(check.name) for check in checks)
