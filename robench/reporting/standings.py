"""Who can be told apart under the worst case: tiers and rank intervals as one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from robench.reporting import text
from robench.reporting.flags import split
from robench.reporting.grid import Cell, Column, Grid
from robench.reporting.table import RunTable
from robench.scoring.comparison import Comparison, Condition, Victim
from robench.scoring.rows import WORST_CASE, Row
from robench.scoring.tiers import Standing

T = TypeVar("T")
_Key = tuple[Any, ...]
#: What names a worst-case row, in a leaderboard as in a comparison.
_KEY: Final = ("dataset", "model", "recipe", "defense", "pruning_rate", "threat", "surrogate",
               "norm", "epsilon", "seed")

TITLE: Final = "Who can be told apart"
_RULE: Final = (
    "Worst-case robust accuracy of victims on the same images, by exact McNemar tests at 5 %, "
    "with Holm's adjustment over the pairs of a group (one data set, threat, norm, ε and seed). "
    "Ranks: from 1 + the victims significantly better to all less those significantly worse. "
    "Tier: its first victim, and those after it until one is significantly worse than the first. "
    "Images count as independent. This tells networks apart as they were trained, not ways of "
    "training: that needs more seeds."
)


@dataclass(frozen=True)
class Standings:
    """The table, and what must be known to read it; all texts are plain."""

    table: Grid
    note: str


@dataclass(frozen=True)
class _Label(Generic[T]):
    title: str
    text: Callable[[T], str]
    numeric: bool = False


_VICTIM: Final = (
    _Label[Victim]("model", lambda victim: victim.model),
    _Label[Victim]("recipe", lambda victim: victim.recipe),
    _Label[Victim]("defense", lambda victim: victim.defense),
    _Label[Victim]("pruned %", lambda victim: text.rate(victim.pruning_rate), numeric=True),
)


def standings(table: RunTable) -> Standings | None:
    """The comparisons of `table`, a block each; None where there is none.

    Columns in which nothing differs are left out.
    """
    found = table.comparisons
    if not found:
        return None
    rows = _worst_rows(table)
    conditions = _differing(_conditions(table), [held.condition for held in found])
    victims = _differing(_VICTIM, [one for held in found for one in held.victims.values()])
    columns = (
        *(Column(label.title, label.numeric) for label in conditions),
        Column("tier", numeric=True),
        Column("ranks", numeric=True),
        *(Column(label.title, label.numeric) for label in victims),
        Column("clean %", numeric=True),
        Column("robust %", numeric=True),
        *((Column("flags", numeric=False),) if any(row["flags"] for row in rows.values()) else ()),
    )
    blocks = tuple(
        tuple(row[: len(columns)] for row in _block(held, conditions, victims, rows))
        for held in found
    )
    return Standings(Grid(columns, blocks), _RULE + _left_out(table))


def _conditions(table: RunTable) -> tuple[_Label[Condition], ...]:
    return (
        _Label("data set", lambda held: held.dataset),
        _Label("threat", lambda held: held.threat),
        _Label("surrogate", lambda held: held.surrogate or text.MISSING),
        _Label("attacks", lambda held: ", ".join(held.attacks)),
        _Label("norm", lambda held: text.norm(held.norm)),
        _Label("ε", lambda held: text.epsilon(held.epsilon, table.epsilon_text), numeric=True),
        _Label("seed", lambda held: str(held.seed), numeric=True),
    )


def _differing(labels: Sequence[_Label[T]], members: Sequence[T]) -> tuple[_Label[T], ...]:
    return tuple(
        label for label in labels if len({label.text(member) for member in members}) > 1
    )


def _block(
    held: Comparison,
    conditions: Sequence[_Label[Condition]],
    victims: Sequence[_Label[Victim]],
    board: Mapping[_Key, Row],
) -> tuple[tuple[Cell, ...], ...]:
    said = [label.text(held.condition) for label in conditions]
    rows = []
    for place, standing in enumerate(held.standings):
        victim = held.victims[standing.name]
        row = board[_key(held.condition, victim)]
        texts = (
            *([""] * len(said) if place else said),
            str(standing.tier),
            _ranks(standing),
            *(label.text(victim) for label in victims),
            text.percent(row["clean_accuracy"]),
            text.percent(standing.n_robust / standing.n),
            ", ".join(split(row["flags"])),
        )
        rows.append(tuple(Cell(each, bold=False) for each in texts))
    return tuple(rows)


def _worst_rows(table: RunTable) -> dict[_Key, Row]:
    return {
        tuple(row[name] for name in _KEY): row
        for row in table.rows if row["attack"] == WORST_CASE
    }


def _key(condition: Condition, victim: Victim) -> _Key:
    return tuple(
        getattr(victim if hasattr(victim, name) else condition, name) for name in _KEY
    )


def _ranks(standing: Standing) -> str:
    low, high = standing.rank_low, standing.rank_high
    return str(low) if low == high else f"{low}–{high}"


def _left_out(table: RunTable) -> str:
    asked = sum(row["attack"] == WORST_CASE for row in table.rows)
    missing = asked - sum(len(held.standings) for held in table.comparisons)
    if missing <= 0:
        return ""
    return (f" {missing} of {asked} worst-case rows are not compared: "
            "no other victim met the same attacks there.")
