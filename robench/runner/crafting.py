"""One attack on one victim, over the images and up the ladder of epsilons."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from robench.attacks.balls import distances
from robench.attacks.base import Attack
from robench.attacks.result import AttackResult
from robench.plan import Cell, Ladder
from robench.runner.bench import Bench, pixels
from robench.runner.memory import Rows, in_batches


@dataclass(frozen=True)
class Made:
    """The outcomes of a cell, its wall time, and whether every gradient seen was zero."""

    cell: Cell
    frame: pd.DataFrame
    seconds: float
    gradient_dead: bool


def craft(
    ladder: Ladder,
    attack: Attack,
    bench: Bench,
    known: Mapping[str, pd.DataFrame],
    *,
    batch_size: int,
    shrink: Callable[[int], int | None],
    attacked: Callable[[int], None],
) -> Iterator[Made]:
    """The cells of a ladder that are not in `known` (outcome tables by key).

    A climb starts above the last known cell, with the images that it left standing.
    """
    for below, cells in _climbs(ladder, known):
        start = known[below.key] if below else _before(bench.clean)
        standing = _standing(start)
        # Where rows depend on their mates, no image leaves the batches of the clean pass.
        attacked_rows = standing if bench.victim.rowwise else np.arange(len(start))
        parts: list[tuple[Rows, list[_Part]]] = []
        work = partial(_attack, ladder, attack, bench, cells)
        for rows, results in in_batches(attacked_rows, batch_size, work, shrink=shrink):
            parts.append((rows, results))
            attacked(len(rows))
        for place, cell in enumerate(cells):
            yield _made(cell, start, standing, [(rows, each[place]) for rows, each in parts])


def images_to_attack(ladder: Ladder, bench: Bench, known: Mapping[str, pd.DataFrame]) -> int:
    """How many images `craft` will go through."""
    climbs = _climbs(ladder, known)
    if not bench.victim.rowwise:
        return len(climbs) * len(bench.clean)
    right = int((bench.clean["prediction"] == bench.clean["label"]).sum())
    return sum(len(_standing(known[below.key])) if below else right for below, _ in climbs)


def _standing(start: pd.DataFrame) -> Rows:
    """The rows that are right before the attack and not broken yet."""
    return np.flatnonzero(start["clean_correct"] & ~start["success"])


def _climbs(
    ladder: Ladder, known: Mapping[str, pd.DataFrame]
) -> list[tuple[Cell | None, list[Cell]]]:
    """Runs of neighbouring cells to make, each with the known cell below it."""
    missing = [cell for cell in ladder.cells if cell.key not in known]
    if not ladder.climbs:
        return [(None, missing)] if missing else []
    climbs: list[tuple[Cell | None, list[Cell]]] = []
    below: Cell | None = None
    for cell in ladder.cells:
        if cell.key in known:
            below = cell
        elif climbs and climbs[-1][1][-1] is below:
            climbs[-1][1].append(cell)
            below = cell
        else:
            climbs.append((below, [cell]))
            below = cell
    return climbs


@dataclass(frozen=True)
class _Part:
    columns: Mapping[str, Any]
    seconds: float
    gradient_dead: bool


def _attack(
    ladder: Ladder, attack: Attack, bench: Bench, cells: Sequence[Cell], rows: Rows
) -> list[_Part]:
    images = pixels(bench.split, rows, bench.device)
    labels = torch.from_numpy(bench.split.labels[rows]).to(bench.device)
    names = [str(name) for name in bench.split.image_ids[rows]]
    with bench.drawing(cells[0].seed, "attack", cells[0].key, *names[:1]):
        results = attack.climb(
            bench.victim, images, labels, epsilons=[cell.epsilon.value for cell in cells],
            image_ids=names, seed=cells[0].seed, ladder=ladder.climbs,
        )
    return [_part(images, result) for result in results]


def _part(images: torch.Tensor, result: AttackResult) -> _Part:
    away = {norm: distances(images, result.adversarial, norm).cpu().numpy()
            for norm in ("linf", "l2", "l0")}
    return _Part(
        columns={
            "adversarial_prediction": result.prediction.to(torch.int32).cpu().numpy(),
            "success": result.success.cpu().numpy(),
            "linf": away["linf"], "l2": away["l2"], "l0": away["l0"].astype(np.int32),
            "forwards": result.forwards.cpu().numpy(),
            "backwards": result.backwards.cpu().numpy(),
            "first_success": result.first_success.cpu().numpy(),  # -1: none
            "adversarial_margin": result.margin.cpu().numpy(),
        },
        seconds=result.seconds, gradient_dead=bool(result.gradient_dead.all()),
    )


def _made(
    cell: Cell, start: pd.DataFrame, standing: Rows, parts: Sequence[tuple[Rows, _Part]]
) -> Made:
    frame = start.copy()
    if parts:
        rows = np.concatenate([rows for rows, _ in parts])
        chosen = np.isin(rows, standing)
        for name in parts[0][1].columns:
            new = np.concatenate([part.columns[name] for _, part in parts])[chosen]
            values = frame[name].array.copy()
            values[rows[chosen]] = (
                pd.arrays.IntegerArray(new, new < 0) if name == "first_success" else new
            )
            frame[name] = values
    return Made(
        cell, frame, seconds=sum(part.seconds for _, part in parts),
        gradient_dead=bool(parts) and all(part.gradient_dead for _, part in parts),
    )


def _before(clean: pd.DataFrame) -> pd.DataFrame:
    """The outcome table of an attack that has not begun."""
    n = len(clean)
    return pd.DataFrame({
        "image_id": clean["image_id"], "group_id": clean["group_id"], "label": clean["label"],
        "clean_prediction": clean["prediction"], "adversarial_prediction": clean["prediction"],
        "clean_correct": clean["prediction"] == clean["label"],
        "success": np.zeros(n, dtype=bool),
        "linf": np.zeros(n, dtype=np.float32), "l2": np.zeros(n, dtype=np.float32),
        "l0": np.zeros(n, dtype=np.int32), "forwards": np.zeros(n, dtype=np.int32),
        "backwards": np.zeros(n, dtype=np.int32),
        "first_success": pd.array([None] * n, dtype="Int32"),
        "clean_margin": clean["margin"], "adversarial_margin": clean["margin"].copy(),
    })
