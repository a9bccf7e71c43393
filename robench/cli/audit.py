"""`robench audit`: can the numbers be believed?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robench.cli import console
from robench.cli.options import Store

if TYPE_CHECKING:
    from robench.audit.finding import Audit
    from robench.results import Run

_FORMATS = ("table", "markdown", "json")


def audit(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN | CSV | published]", show_default=False,
            help="A run's id, the start of it, or its run.json; a CSV of results; or `published`, "
                 "the printed tables of the papers. Default: the latest run."),
    ] = None,
    format: Annotated[
        str, typer.Option("--format", "-f", help=f"{', '.join(_FORMATS)}.")
    ] = "table",
    output: Annotated[
        Path | None,
        typer.Option("--output", help="A file to write to, as JSON or markdown."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="End with 1 where anything but notes is found.")
    ] = False,
    probe: Annotated[
        int, typer.Option("--probe", min=0, metavar="N", help="Compute so many cells of a run "
                          "again: twice the steps, no ladder, no bound, noise, no gradient, and "
                          "some images alone, pass by pass.")
    ] = 0,
    device: Annotated[str, typer.Option(help="Of the probes: auto, cpu, cuda or cuda:N.")] = "auto",
    store: Store = None,
) -> None:
    """Check results for what must not be believed."""
    from robench.audit.entrance import PUBLISHED, audit_csv, audit_published
    from robench.errors import UserError, unknown
    from robench.reporting.findings import audit_markdown, audit_screen, gaps

    if format not in _FORMATS:
        raise unknown("format", format, _FORMATS)
    if probe and (what == PUBLISHED or (what is not None and _is_file(what))):
        raise UserError("--probe computes cells of a run again", got=what, expected="a run")
    if what == PUBLISHED:
        done = audit_published()
    elif what is not None and _is_file(what):
        done = audit_csv(Path(what))
    else:
        from robench.audit.run import audit_run
        from robench.results import find_run
        from robench.store import Store as Folder
        from robench.store import default_folder

        folder = Folder(default_folder() if store is None else store.expanduser())
        run = find_run(folder, what)
        done = _probed(run, probe, device) if probe else audit_run(run)
    screen = console.out()
    if format == "table" and output is None:
        for part in audit_screen(done):
            screen.print(part)
    else:
        found = [finding.as_dict() for finding in done.findings]
        text = (json.dumps(found, indent=1, ensure_ascii=False) + "\n" if format == "json"
                else audit_markdown(done))
        if output is None:
            typer.echo(text, nl=False)
        else:
            try:
                output.write_text(text, encoding="utf-8")
            except OSError as error:
                raise UserError(f"cannot write the audit: {error.strerror}",
                                where=str(output)) from None
        if format == "json":
            for line in gaps(done):
                console.err().print(f"not checked: {line}", soft_wrap=True, markup=False)
    if strict and done.worst() in ("warning", "serious"):
        raise typer.Exit(1)


def _probed(run: Run, cells: int, device: str) -> Audit:
    from robench.cli.progress import Bars
    from robench.probing import probe

    with Bars(console.err()) as bars:
        return probe(run, cells=cells, device=device, listener=bars)


def _is_file(what: str) -> bool:
    """Whether a file is meant, not a run: by its ending, or because it is there."""
    return not what.endswith(".json") and (what.endswith(".csv") or Path(what).is_file())
