"""`robench run`: a matrix in, a leaderboard out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from robench.cli import console
from robench.cli.options import Store

if TYPE_CHECKING:
    from robench.api import Job
    from robench.results import Run

def run(
    matrix: Annotated[
        str, typer.Option("--matrix", "-m", help="A YAML file, or the name of a shipped matrix.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A folder for leaderboard.md, leaderboard.csv, run.json."),
    ] = None,
    store: Store = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    batch_size: Annotated[
        int, typer.Option(help="Images attacked at once; results do not depend on it.")
    ] = 256,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and compute nothing.")
    ] = False,
) -> None:
    """Run every combination of a matrix; what was computed before is found again."""
    from robench import api
    from robench.cli.progress import Bars

    job = api.plan(matrix, store=store, altered=_altered)
    for label, dataset in job.prepared.datasets.items():
        shared = {pair: count for pair, count in dataset.duplicates.items()
                  if "-" in pair and count}
        if shared:
            told = ", ".join(f"{count} in {pair}" for pair, count in shared.items())
            console.warn(f"data set '{label}': byte-identical images across splits: {told}")
    if dry_run:
        from robench.cli.plan import print_plan

        print_plan(job)
        return
    with Bars(console.err()) as bars:
        done = job.execute(device=device, batch_size=batch_size, listener=bars)
    _show(done)
    if out is not None:
        write_out(done, out)
    _end(job, done)


def write_out(done: Run, folder: Path) -> None:
    """The leaderboard and the record of a run as files."""
    from robench.errors import UserError
    from robench.reporting import render

    table = done.table()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "leaderboard.md").write_text(render(table, "markdown"), encoding="utf-8")
        (folder / "leaderboard.csv").write_text(render(table, "csv"), encoding="utf-8")
        record = json.dumps(dict(done.record), indent=1, ensure_ascii=False)
        (folder / "run.json").write_text(record + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write the reports: {error.strerror}", where=str(folder)) from None


def _show(done: Run) -> None:
    from robench.reporting.screen import screen_table

    screen = console.out()
    for part in screen_table(done.table(), width=screen.width):
        screen.print(part)


def _end(job: Job, done: Run) -> None:
    failures = done.failures()
    if not failures:
        return
    names = "\n".join(f"  {failure.label}" for failure in failures[:20])
    more = f"\n  and {len(failures) - 20} more" if len(failures) > 20 else ""
    console.err().print(Text.assemble(
        (f"{len(failures)} of {len(job.prepared.plan.cells)} cells failed:", "bold red"),
        f"\n{names}{more}\ntheir tracebacks are in {job.store.folder / 'failures'}",
    ))
    raise typer.Exit(1)


def _altered(path: Path) -> None:
    console.warn(f"{path} was altered since it was written; it was set aside and is made again")
