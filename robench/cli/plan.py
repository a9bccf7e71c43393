"""What a dry run prints: cells, artifacts to make, artifacts found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from robench.cli import console
from robench.errors import MissingDataError

if TYPE_CHECKING:
    from robench.api import Job
    from robench.plan import Cell, Ladder


def print_plan(job: Job) -> None:
    """Print the plan of a job against its store, a line per victim and attack.

    What needs data sets that are not there is printed too, in a column of its own.
    """
    prepared, store = job.prepared, job.store
    plan, waiting = prepared.plan, sum(len(ladder.cells) for ladder in prepared.waiting)
    screen = console.out()
    lacking = f", and {waiting} that need data sets which are not found" if waiting else ""
    screen.print(Text(f"{plan.matrix.name}: {len(plan.cells)} cells{lacking}", style="bold"))
    for label, dataset in prepared.datasets.items():
        splits = ", ".join(f"{name} {len(split)}" for name, split in dataset.splits.items())
        height, width = dataset.image_size
        screen.print(Text(f"data set {label}: {splits}; {dataset.num_classes} classes; "
                          f"{height}×{width}×{dataset.in_channels}"))
    for label in prepared.missing:
        screen.print(Text(f"data set {label}: not found"))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    counts = ("to make", "found", *(("no data",) if waiting else ()))
    for title in ("victim", "attack", "ε", *counts):
        table.add_column(title, justify="right" if title in counts else "left")
    missing = {cell.key for cell in plan.cells if not store.has("outcomes", cell.key)}
    for _, ladders in groupby((*plan.ladders, *prepared.waiting),
                              key=lambda ladder: ladder.target.key):
        shown = None
        for ladder in ladders:
            shown = ladder.target.label if shown is None else ""
            here = ladder.target.training.dataset.label in prepared.datasets
            to_make = sum(cell.key in missing for cell in ladder.cells)
            numbers = [to_make, len(ladder.cells) - to_make] if here else [0, 0]
            if waiting:
                numbers.append(0 if here else len(ladder.cells))
            table.add_row(
                Text(shown), Text(_attack(ladder)), _epsilons(ladder.cells),
                *(str(number or "–") for number in numbers),
            )
    screen.print(table)
    _print_counts(job, missing)


def print_missing(jobs: Sequence[Job]) -> None:
    """Print the data sets that jobs miss: where to get each, and how to lay it out."""
    errors = [error for job in jobs for error in job.prepared.missing.values()]
    if not errors:
        return
    every = MissingDataError.together(errors)
    screen = console.out()
    screen.print(Text(f"data sets that are not found: {len(every.missing)}", style="bold"))
    screen.print(Text(str(every)), soft_wrap=True)  # so that a page's address stays whole


def _attack(ladder: Ladder) -> str:
    """The attack, with the threat where that is not white-box."""
    cell = ladder.cells[0]
    if cell.threat == "white-box":
        return ladder.attack.label
    return f"{ladder.attack.label}, {cell.threat}" + (
        f" from {cell.surrogate}" if cell.surrogate else ""
    )


def _print_counts(job: Job, missing: set[str]) -> None:
    plan, store = job.prepared.plan, job.store
    open_ladders = [ladder for ladder in plan.ladders
                    if any(cell.key in missing for cell in ladder.cells)]
    trainings = replace(plan, ladders=tuple(open_ladders)).checkpoints
    trained = sum(store.has("checkpoint", key) for key in trainings)
    console.out().print(Text(
        f"to make: {len(missing)} cells, {len(trainings) - trained} trainings · "
        f"found: {len(plan.cells) - len(missing)} cells, {trained} trainings that are needed · "
        f"store: {store.folder}"
    ))


def _epsilons(cells: Iterable[Cell]) -> str:
    return " ".join(cell.epsilon.text for cell in cells)
