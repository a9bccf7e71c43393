"""The program `robench`: its commands, and how it ends."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from robench import __version__
from robench.cli import audit, check, console, doctor, listing, report, run, show
from robench.errors import UserError

DEBUG = "--debug"


# Click's UsageError, or the copy of it that newer releases of typer carry.
_WrongUse: Any = typer.BadParameter.__base__


class _Commands(TyperGroup):
    """Tells a user's mistake in one or two lines; --debug shows where it was raised."""

    def make_context(self, *args: Any, **settings: Any) -> Any:
        with _mistakes_told():
            return super().make_context(*args, **settings)

    def invoke(self, ctx: Any) -> Any:
        if ctx.params.get("debug"):
            return super().invoke(ctx)
        with _mistakes_told():
            return super().invoke(ctx)


@contextmanager
def _mistakes_told() -> Iterator[None]:
    try:
        yield
    except UserError as error:
        _tell(str(error))
        raise typer.Exit(2) from None
    except _WrongUse as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # the help was printed, that is all
            raise
        command = error.ctx.command_path if error.ctx else "robench"
        _tell(f"{error.format_message()}\n  {command} --help says what there is")
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        console.err().print(
            "interrupted: what was finished is kept, the same command goes on from it"
        )
        raise typer.Exit(130) from None


def _tell(mistake: str) -> None:
    console.err().print(Text.assemble(("error: ", "bold red"), mistake), soft_wrap=True)


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
app.command("audit")(audit.audit)
app.command("list")(listing.list_)
app.command("show")(show.show)
app.command("doctor")(doctor.doctor)
app.command("check")(check.check)


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    app()
