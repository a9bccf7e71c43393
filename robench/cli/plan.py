"""What a dry run prints: cells, artifacts to make, artifacts found."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from robench.cli import console

if TYPE_CHECKING:
    from robench.api import Job
    from robench.plan import Cell


def print_plan(job: Job) -> None:
    """Print the plan of a job against its store, a line per victim and attack."""
    plan, store = job.prepared.plan, job.store
    screen = console.out()
    screen.print(Text(f"{plan.matrix.name}: {len(plan.cells)} cells", style="bold"))
    for label, dataset in job.prepared.datasets.items():
        splits = ", ".join(f"{name} {len(split)}" for name, split in dataset.splits.items())
        height, width = dataset.image_size
        screen.print(Text(f"data set {label}: {splits}; {dataset.num_classes} classes; "
                          f"{height}×{width}×{dataset.in_channels}"))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("victim", "attack", "ε", "to make", "found"):
        table.add_column(title, justify="right" if title in ("to make", "found") else "left")
    missing = {cell.key for cell in plan.cells if not store.has("outcomes", cell.key)}
    for _, ladders in groupby(plan.ladders, key=lambda ladder: ladder.target.key):
        shown = None
        for ladder in ladders:
            shown = ladder.target.label if shown is None else ""
            to_make = sum(cell.key in missing for cell in ladder.cells)
            found = len(ladder.cells) - to_make
            table.add_row(
                Text(shown), Text(ladder.attack.label), _epsilons(ladder.cells),
                str(to_make or "–"), str(found or "–"),
            )
    screen.print(table)
    _print_counts(job, missing)


def _print_counts(job: Job, missing: set[str]) -> None:
    plan, store = job.prepared.plan, job.store
    needed = {ladder.target.training.key for ladder in plan.ladders
              if any(cell.key in missing for cell in ladder.cells)}
    trainings = [training for training in plan.trainings if training.key in needed]
    trained = sum(store.has("checkpoint", training.key) for training in trainings)
    console.out().print(Text(
        f"to make: {len(missing)} cells, {len(trainings) - trained} trainings · "
        f"found: {len(plan.cells) - len(missing)} cells, {trained} trainings that are needed · "
        f"store: {store.folder}"
    ))


def _epsilons(cells: Iterable[Cell]) -> str:
    return " ".join(cell.epsilon.text for cell in cells)
