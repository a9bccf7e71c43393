"""`robench run`: a matrix in, a leaderboard out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from robench.cli import console
from robench.cli.allocation import keep_freed_memory
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
    available: Annotated[
        bool, typer.Option("--available", help="Leave out the data sets that are not here.")
    ] = False,
) -> None:
    """Run every combination of a matrix; what was computed before is found again.

    A matrix that includes others runs them one after another; --out then has a folder for each.
    """
    from robench import api
    from robench.cli.plan import print_missing, print_plan
    from robench.cli.progress import Bars

    jobs = api.plan_all(matrix, store=store, altered=_altered)
    _warn_of_copies(jobs)
    if dry_run:
        for job in jobs:
            job.check_attacks()
        for job in jobs:
            print_plan(job)
        print_missing(jobs)
        return
    chosen = api.runnable(jobs, available=available,
                          expected="them, or --available to run what can be run")
    _warn_of_what_is_left_out(jobs)
    keep_freed_memory()
    done = []
    for job in chosen:
        with Bars(console.err()) as bars:
            run = job.execute(device=device, batch_size=batch_size, listener=bars,
                              available=available)
        _show(run)
        if out is not None:
            write_out(run, out / job.prepared.plan.matrix.name if len(jobs) > 1 else out)
        done.append((job, run))
    whole = [_tell_failures(job, run) for job, run in done]
    if not all(whole):
        raise typer.Exit(1)


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


def _tell_failures(job: Job, done: Run) -> bool:
    """Whether every cell was made; those that were not are told."""
    failures = done.failures()
    if not failures:
        return True
    names = "\n".join(f"  {failure.label}" for failure in failures[:20])
    more = f"\n  and {len(failures) - 20} more" if len(failures) > 20 else ""
    console.err().print(Text.assemble(
        (f"{len(failures)} of {len(job.prepared.plan.cells)} cells failed:", "bold red"),
        f"\n{names}{more}\ntheir tracebacks are in {job.store.folder / 'failures'}",
    ))
    return False


def _warn_of_copies(jobs: Sequence[Job]) -> None:
    told: dict[str, str] = {}
    for job in jobs:
        for label, dataset in job.prepared.datasets.items():
            shared = {pair: count for pair, count in dataset.duplicates.items()
                      if "-" in pair and count}
            if shared:
                pairs = ", ".join(f"{count} in {pair}" for pair, count in shared.items())
                told.setdefault(dataset.fingerprint, f"data set '{label}': byte-identical images "
                                                     f"across splits: {pairs}")
    for warning in told.values():
        console.warn(warning)


def _warn_of_what_is_left_out(jobs: Sequence[Job]) -> None:
    for job in jobs:
        for label in job.prepared.missing:
            cells = sum(len(ladder.cells) for ladder in job.prepared.waiting
                        if ladder.target.training.dataset.label == label)
            console.warn(f"{job.prepared.plan.matrix.name}: {cells} cells of data set '{label}' "
                         "are left out: it is not found")


def _altered(path: Path) -> None:
    console.warn(f"{path} was altered since it was written; it was set aside and is made again")
