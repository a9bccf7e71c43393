"""Runs for the layouts, made from verdicts without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robench.audit.finding import Finding
from robench.reporting import RunTable
from robench.reporting.details import Gatherer
from robench.reporting.layouts import LAYOUTS, images_of
from robench.scoring.rows import CellRecord, leaderboard_rows

N = 200
LABELS: dict[str, Any] = {
    "dataset": "digits", "recipe": "standard", "defense": "none", "pruning_rate": 0.0,
    "threat": "white-box", "surrogate": None, "norm": "linf", "seed": 0,
}
Made = tuple[CellRecord, dict[str, Any], dict[str, Any]]


def cell(
    model: str, attack: str, epsilon: float, broken: int, *, right: int = N,
    flags: Sequence[str] = (), sparsity: float | None = None,
    columns: Mapping[str, Any] | None = None, **labels: Any,
) -> Made:
    """A cell whose first `right` images are right, and of these the first `broken` are broken."""
    said = {**LABELS, "model": model, "attack": attack, "epsilon": epsilon, **labels}
    place = np.arange(N)
    correct, success = place < right, place < min(broken, right)
    known: dict[str, Any] = {
        "image_id": np.array([f"image-{one:03}" for one in place], dtype=object),
        "group_id": np.array([f"image-{one:03}" for one in place], dtype=object),
        "label": np.zeros(N, dtype=np.int32), "clean_prediction": np.where(correct, 0, 1),
        "adversarial_prediction": np.where(correct & ~success, 0, 1), "clean_correct": correct,
        "success": success, "linf": np.full(N, epsilon), "l2": np.full(N, epsilon),
        "l0": np.ones(N), "forwards": np.ones(N), "backwards": np.ones(N),
        "clean_margin": np.where(correct, 1.0, -1.0),
        "adversarial_margin": np.where(correct & ~success, 1.0, -1.0), **(columns or {}),
    }
    zeros = float(said["pruning_rate"]) if sparsity is None else sparsity
    key = "/".join(str(said[name]) for name in sorted(said))
    return CellRecord(key=key, **said), known, {
        "seconds": 1.0, "sparsity": zeros, "flags": list(flags)}


def transferred(
    model: str, surrogate: str, kept: int, fooled: int, *, right: int = N, **labels: Any
) -> Made:
    """A transfer cell: the first `kept` images fooled the surrogate, the first `fooled` of them
    fool the model, which has the last `right` images right when clean.
    """
    place = np.arange(N)
    correct, wrong = place >= N - right, place < fooled
    return cell(
        model, "pgd", 0.03, 0, threat="transfer", surrogate=surrogate, **labels, columns={
            "clean_prediction": np.where(correct, 0, 1), "clean_correct": correct,
            "adversarial_prediction": np.where(wrong | ~correct, 1, 0),
            "success": correct & wrong, "surrogate_success": place < kept,
        })


def run_table(
    *cells: Made, findings: Sequence[Finding] = (), facts: Mapping[str, Any] | None = None
) -> RunTable:
    """What a run of these cells gives to its reports, whichever layout is asked for."""
    gatherer = Gatherer({name for layout in LAYOUTS for name in images_of(layout)})
    rows = leaderboard_rows(gatherer.through(cells))
    return RunTable(
        rows, "chest_pruning", "run-1", facts=facts or {}, findings=tuple(findings),
        comparisons=gatherer.worst_case(), details=gatherer.details(),
        epsilon_text={8 / 255: "8/255"})


def texts(grid: Any) -> list[list[str]]:
    """The titles of a grid and its cells, bold ones between stars."""
    titles = [f"{column.above} {column.title}".strip() for column in grid.columns]
    rows = [[f"*{one.text}*" if one.bold else one.text for one in row]
            for block in grid.blocks for row in block]
    return [titles, *rows]
