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


Defaults = Annotated[
    bool,
    typer.Option("--defaults", help="With the default settings, not those that its card states "
                                    "for checks: of an attack, this can take an hour."),
]
# As wide as the longest name of a check: a line is printed before the next check has begun.
_NAME_WIDTH = 32


def check(plugin: Plugin = None, defaults: Defaults = False) -> None:
    """Check the conformance of models, attacks, defenses, data sets and recipes."""
    from robench.registry import Registry
    from robench.testing.registered import check_registered, find

    registry = Registry.discover()
    things = find(registry, plugin)
    screen = console.out()
    failed, total = 0, 0
    for thing in things:
        screen.print(_heading(thing))
        for done in check_registered(registry, thing, defaults=defaults):
            screen.print(_line(done))
            failed += not done.passed
            total += 1
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


def _line(check: Check) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, width=6)
    table.add_column(no_wrap=True, width=_NAME_WIDTH)
    table.add_column(overflow="fold")
    mark = Text("  FAIL", "bold red") if not check.passed else (
        Text("  ok", "green") if check.applies else Text("  –", "dim")
    )
    table.add_row(mark, Text(check.name), Text(check.message, "dim" if check.passed else ""))
    return table
