"""`robench report`: the leaderboard of a run, in a format and a layout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robench.cli.options import Store
from robench.reporting import FORMATS, LAYOUTS
from robench.reporting.layouts import LEADERBOARD, images_of


def report(
    run: Annotated[
        str | None,
        typer.Argument(help="A run's id, the start of it, or its run.json. Default: the latest.",
                       show_default=False),
    ] = None,
    format: Annotated[
        str, typer.Option("--format", "-f", help=f"{', '.join(FORMATS)}.")
    ] = "markdown",
    layout: Annotated[
        str, typer.Option("--layout", "-l", help=f"{', '.join(LAYOUTS)}.")
    ] = LEADERBOARD,
    published: Annotated[
        str | None,
        typer.Option("--published", metavar="PAPER", show_default=False,
                     help="Instead: the printed numbers of a paper, such as meddef2025, beside "
                          "those measured."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="A file to write to instead of the screen.")
    ] = None,
    store: Store = None,
) -> None:
    """Print the leaderboard of a run, or its numbers in another layout."""
    from robench.cli import console
    from robench.errors import UserError
    from robench.reporting import render, render_sheet
    from robench.results import find_run
    from robench.scoring.rows import WORST_CASE
    from robench.store import Store as Folder
    from robench.store import default_folder

    folder = Folder(default_folder() if store is None else store.expanduser())
    found = find_run(folder, run)
    if published is not None and layout != LEADERBOARD:
        raise UserError("one of --published and --layout", got=f"--published {published} "
                        f"--layout {layout}", expected="the one or the other")
    if published is not None:
        from robench.reporting.published_layout import published_sheet

        table = found.table(details=True)
        text = render_sheet(published_sheet(table, published), format)
    else:
        table = found.table(details=layout != LEADERBOARD, images=images_of(layout))
        text = render(table, format, layout=layout)
    if output is None:
        typer.echo(text, nl=False)
    else:
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot write the report: {error.strerror}",
                            where=str(output)) from None
    finished = sum(row["attack"] != WORST_CASE for row in table.rows)
    lost = len(found.record["cells"]) - finished
    if lost:
        console.warn(f"{lost} of {len(found.record['cells'])} cells of {found.id} have no outcomes")
