"""One attack on one victim, over the images and up the ladder of epsilons."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np
import pandas as pd
import torch

from robench.attacks.balls import distances
from robench.attacks.base import Attack
from robench.attacks.losses import broken, margin
from robench.attacks.result import AttackResult
from robench.plan import Cell, Ladder
from robench.redrawn import Redrawn
from robench.runner.bench import Bench, pixels
from robench.runner.learning import learn
from robench.runner.memory import Rows, in_batches


@dataclass(frozen=True)
class Made:
    """The outcomes of a cell, its wall time, whether every gradient seen was zero, whether there
    were images that the attack found nothing to begin with for, and the `members` that an ensemble
    ran.

    `adversarial`: the images N×C×H×W on the CPU, where they were asked for.
    """

    cell: Cell
    frame: pd.DataFrame
    seconds: float
    gradient_dead: bool
    adversarial: torch.Tensor | None = None
    members: tuple[str, ...] = ()
    unstarted: bool = False


def craft(
    ladder: Ladder,
    attack: Attack,
    bench: Bench,
    known: Mapping[str, pd.DataFrame],
    *,
    batch_size: int,
    shrink: Callable[[int], int | None],
    attacked: Callable[[int], None],
    for_others: bool = False,
) -> Iterator[Made]:
    """The cells of a ladder that are not in `known` (outcome tables by key).

    `for_others`: images that other networks are to be shown. Each epsilon is then run alone and to
    its end, and the images are given too.

    A climb starts above the last known cell, with the images that it left standing. An attack that
    learns is fitted before it, and the time that takes is shared by the cells of the climb.
    """
    for below, cells in [(None, [*ladder.cells])] if for_others else _climbs(ladder, known):
        start = known[below.key] if below else before(bench)
        standing = _standing(start)
        # Where rows depend on their mates, no image leaves the batches of the clean pass.
        attacked_rows = standing if bench.victim.rowwise else np.arange(len(start))
        learning = 0.0
        if attack.learns and len(attacked_rows):
            learning = learn(attack, bench, cells, shrink=shrink)
        parts: list[tuple[Rows, list[_Part]]] = []
        work = partial(_attack, ladder, attack, bench, cells, for_others=for_others)
        for rows, results in in_batches(attacked_rows, batch_size, work, shrink=shrink):
            parts.append((rows, results))
            attacked(len(rows))
        for place, cell in enumerate(cells):
            of_cell = [(rows, each[place]) for rows, each in parts]
            made = _made(cell, start, standing, of_cell)
            yield replace(
                made, seconds=made.seconds + learning / len(cells),
                adversarial=_gathered(bench, of_cell) if for_others else None,
            )


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
    adversarial: torch.Tensor | None
    members: tuple[str, ...]
    unstarted: bool


def _gathered(bench: Bench, parts: Sequence[tuple[Rows, _Part]]) -> torch.Tensor:
    """The images of a cell: those attacked, and the others as they are."""
    images = pixels(bench.split, slice(None), torch.device("cpu"))
    for rows, part in parts:
        images[torch.from_numpy(rows)] = cast(torch.Tensor, part.adversarial)
    return images


def _attack(
    ladder: Ladder, attack: Attack, bench: Bench, cells: Sequence[Cell], rows: Rows, *,
    for_others: bool,
) -> list[_Part]:
    images = pixels(bench.split, rows, bench.device)
    labels = torch.from_numpy(bench.split.labels[rows]).to(bench.device)
    names = [str(name) for name in bench.split.image_ids[rows]]
    with bench.drawing(cells[0].seed, "attack", cells[0].key, *names[:1]):
        results = attack.climb(
            bench.victim, images, labels, epsilons=[cell.epsilon.value for cell in cells],
            image_ids=names, seed=cells[0].seed, ladder=ladder.climbs and not for_others,
            to_the_end=for_others,
        )
    parts = []
    for result in results:
        wrong = None
        if isinstance(bench.victim, Redrawn):
            # The same stream at every epsilon, so that the same image gets the same verdict.
            with bench.drawing(cells[0].seed, "verdict", cells[0].key, *names[:1]):
                result, wrong = redrawn(bench.victim, result, labels)
        parts.append(_part(images, result, wrong, for_others=for_others))
    return parts


def redrawn(
    victim: Redrawn, result: AttackResult, labels: torch.Tensor
) -> tuple[AttackResult, torch.Tensor]:
    """(a result judged by draws that its attack did not see, how many of them are wrong)."""
    votes, answers = victim.votes(result.adversarial)
    # A search of the smallest perturbation that found none within epsilon has nothing to judge.
    success = (result.distance > 0) & broken(votes, labels)
    return replace(
        result, success=success, prediction=votes.argmax(dim=1), margin=margin(votes, labels),
        first_success=torch.where(success, result.first_success.clamp_min(1), -1),
    ), torch.ne(answers, labels).sum(dim=0)


def _part(
    images: torch.Tensor, result: AttackResult, wrong: torch.Tensor | None, *, for_others: bool
) -> _Part:
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
            **({} if wrong is None else {"draws_wrong": wrong.int().cpu().numpy()}),
        },
        seconds=result.seconds, gradient_dead=bool(result.gradient_dead.all()),
        adversarial=result.adversarial.cpu() if for_others else None, members=result.members,
        unstarted=bool(result.unstarted.any()),
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
        members=tuple(dict.fromkeys(name for _, part in parts for name in part.members)),
        unstarted=any(part.unstarted for _, part in parts),
    )


def before(bench: Bench) -> pd.DataFrame:
    """The outcome table of an attack that has not begun."""
    clean = bench.clean
    n = len(clean)
    drawn = {"draws_wrong": np.zeros(n, dtype=np.int32)}
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
        **(drawn if isinstance(bench.victim, Redrawn) else {}),
    })
