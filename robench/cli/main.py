"""The program `robench`: its commands, and how it ends."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from robench import __version__
from robench.cli import check, console, doctor, listing, report, run
from robench.errors import UserError

DEBUG = "--debug"


class _Commands(TyperGroup):
    """Tells a user's mistake in one or two lines; --debug shows where it was raised."""

    def invoke(self, ctx: Any) -> Any:
        if ctx.params.get("debug"):
            return super().invoke(ctx)
        try:
            return super().invoke(ctx)
        except UserError as error:
            console.err().print(Text.assemble(("error: ", "bold red"), str(error)), soft_wrap=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            console.err().print(
                "interrupted: what was finished is kept, the same command goes on from it"
            )
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Commands,
    name="robench",
    help="How robust is an image classifier, and can the number be trusted?",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"robench {__version__}")
        raise typer.Exit()


@app.callback()
def _main(
    debug: Annotated[bool, typer.Option(DEBUG, help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


app.command("run")(run.run)
app.command("report")(report.report)
app.command("list")(listing.list_)
app.command("show")(listing.show)
app.command("doctor")(doctor.doctor)
app.command("check")(check.check)


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    app()
