"""The leaderboard: a row of rates per cell, and per group of attacks the worst case over them.

Without pandas, which takes longer to load than a leaderboard takes to compute.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from robench.scoring.wilson import wilson
from robench.scoring.worst_case import Bools, Columns, Floats, Tally, tally, worse

WORST_CASE: Final = "worst-case"
CLEAN_MISMATCH: Final = "clean-mismatch"

COLUMNS: Final[tuple[str, ...]] = (
    "dataset", "model", "recipe", "defense", "pruning_rate", "sparsity", "threat", "surrogate",
    "attack", "norm", "epsilon", "seed", "n", "n_correct", "clean_accuracy", "robust_accuracy",
    "robust_accuracy_low", "robust_accuracy_high", "asr", "asr_low", "asr_high", "mean_distance",
    "forwards", "backwards", "seconds", "flags",
)

Row = Mapping[str, Any]
"""A row of the leaderboard: a value for each of `COLUMNS`, plain text and numbers."""


@dataclass(frozen=True)
class CellRecord:
    """What a row says of its cell besides the counts; `epsilon` in pixel units of [0,1]."""

    key: str
    dataset: str
    model: str
    recipe: str
    defense: str
    pruning_rate: float
    threat: str
    surrogate: str | None
    attack: str
    norm: str
    epsilon: float
    seed: int


@dataclass(frozen=True)
class _Group:
    """The attacks so far on one victim at one norm, epsilon, threat, surrogate and seed."""

    record: CellRecord
    worst: Tally
    seconds: float
    sparsity: float
    flags: frozenset[str]


def leaderboard_rows(
    cells: Iterable[tuple[CellRecord, Columns, Mapping[str, Any]]],
) -> list[Row]:
    """One row per cell, in the given order.

    Each cell brings the columns of its outcome table (see `robench.outcomes`) and a mapping with
    `seconds` (float), `sparsity` (float) and `flags` (list of str). After the last row of each
    victim, norm, epsilon, threat, surrogate and seed stands a row for the attack `worst-case`,
    also where there is one attack only. Tables are taken one at a time and not kept.

    Rates are fractions with Wilson intervals of 95 %: robust accuracy over all n images, ASR over
    the n_correct that are right before the attack (NaN where there are none). Distance is the mean
    over broken images; forwards and backwards are means over the images right before the attack.
    In a worst-case row the distance of an image is the smallest that broke it, and passes and
    seconds are summed over the attacks.

    Raises ValueError where the attacks of a group were not run on the same images.
    """
    rows: list[tuple[int, dict[str, Any]]] = []
    groups: dict[tuple[Any, ...], _Group] = {}
    last: dict[tuple[Any, ...], int] = {}
    for position, (record, columns, metadata) in enumerate(cells):
        counted = tally(columns, attack=record.attack, norm=record.norm)
        alone = _Group(
            record=record,
            worst=counted,
            seconds=float(metadata["seconds"]),
            sparsity=float(metadata["sparsity"]),
            flags=frozenset(metadata["flags"]),
        )
        rows.append((position, _row(alone, attack=record.attack)))
        key = _group_key(record)
        groups[key] = _merged(groups[key], alone) if key in groups else alone
        last[key] = position
    rows += [(last[key], _row(group, attack=WORST_CASE)) for key, group in groups.items()]
    rows.sort(key=lambda row: row[0])
    return [row for _, row in rows]


def _group_key(record: CellRecord) -> tuple[Any, ...]:
    victim = (record.dataset, record.model, record.recipe, record.defense, record.pruning_rate)
    return (*victim, record.norm, record.epsilon, record.threat, record.surrogate, record.seed)


def _merged(group: _Group, other: _Group) -> _Group:
    worst = worse(group.worst, other.worst)
    return _Group(
        record=group.record,
        worst=worst,
        seconds=group.seconds + other.seconds,
        sparsity=group.sparsity,
        flags=group.flags | other.flags | ({CLEAN_MISMATCH} if worst.clean_mismatch else set()),
    )


def _row(group: _Group, *, attack: str) -> dict[str, Any]:
    counted, record = group.worst, group.record
    n, n_correct = len(counted.correct), int(counted.correct.sum())
    n_broken = int(counted.broken.sum())
    robust_low, robust_high = wilson(n_correct - n_broken, n)
    asr_low, asr_high = wilson(n_broken, n_correct)
    return {
        "dataset": record.dataset,
        "model": record.model,
        "recipe": record.recipe,
        "defense": record.defense,
        "pruning_rate": record.pruning_rate,
        "sparsity": group.sparsity,
        "threat": record.threat,
        "surrogate": record.surrogate,
        "attack": attack,
        "norm": record.norm,
        "epsilon": record.epsilon,
        "seed": record.seed,
        "n": n,
        "n_correct": n_correct,
        "clean_accuracy": _ratio(n_correct, n),
        "robust_accuracy": _ratio(n_correct - n_broken, n),
        "robust_accuracy_low": robust_low,
        "robust_accuracy_high": robust_high,
        "asr": _ratio(n_broken, n_correct),
        "asr_low": asr_low,
        "asr_high": asr_high,
        "mean_distance": _mean(counted.distance, counted.broken),
        "forwards": _mean(counted.forwards, counted.correct),
        "backwards": _mean(counted.backwards, counted.correct),
        "seconds": group.seconds,
        "flags": ",".join(sorted(group.flags)),
    }


def _ratio(count: int, n: int) -> float:
    return count / n if n else math.nan


def _mean(values: Floats, where: Bools) -> float:
    return float(values[where].mean()) if where.any() else math.nan
