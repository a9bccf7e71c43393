"""`robench doctor`: what is installed, what works, what does not."""

from __future__ import annotations

import typer
from rich.text import Text

from robench.cli import console


def doctor() -> None:
    """Say what is installed, which device is used, which plugins there are, and what is wrong."""
    from robench.doctor import examine

    screen = console.out()
    examined = examine()
    for finding in examined:
        mark, style = {True: ("ok   ", "green"), False: ("wrong", "bold red"),
                       None: ("–    ", "dim")}[finding.ok]
        screen.print(Text.assemble((mark, style), "  ", (f"{finding.subject:<30}", "bold"),
                                   finding.message), soft_wrap=True)
    if any(finding.ok is False for finding in examined):
        raise typer.Exit(1)
