"""Robust accuracy against what an attack spends: which attacks are worth their price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from robench.scoring.rows import WORST_CASE, Row

Price = Literal["forwards", "backwards", "propagations", "seconds"]
PRICES: Final[tuple[Price, ...]] = ("forwards", "backwards", "propagations", "seconds")
#: What must be equal for attacks to be compared: everything but the attack.
_SAME: Final = ("dataset", "model", "recipe", "defense", "pruning_rate", "threat", "surrogate",
                "norm", "epsilon", "seed")


@dataclass(frozen=True)
class CostPoint:
    """One attack: `robust_accuracy` is a fraction of all images.

    `forwards`, `backwards` and `seconds` are means over the images right before the attack.
    """

    attack: str
    robust_accuracy: float
    forwards: float
    backwards: float
    seconds: float

    @property
    def propagations(self) -> float:
        """Forwards and backwards together."""
        return self.forwards + self.backwards


def cost_points(rows: Sequence[Row]) -> tuple[CostPoint, ...]:
    """A point per attack, from the leaderboard rows of one victim at one norm and epsilon.

    Worst-case rows are left out: their cost is that of all attacks together. `seconds` is wall
    time on the machine of the run, and is shared evenly among the epsilons of one search where an
    attack runs once for all. FLOPs are not on a leaderboard.

    Raises ValueError for no attack, for one that stands twice, for rows that differ in more than
    the attack, and where no image is right before the attack.
    """
    single = [row for row in rows if row["attack"] != WORST_CASE]
    if not single:
        raise ValueError("no row of an attack: costs need at least one")
    for name in _SAME:
        values = {row[name] for row in single}
        if len(values) > 1:
            raise ValueError(f"costs of one victim and epsilon are needed, got several: {name} "
                             f"{', '.join(sorted(str(value) for value in values))}")
    names = [str(row["attack"]) for row in single]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"an attack stands twice: {', '.join(twice)}")
    idle = [row["attack"] for row in single if not row["n_correct"]]
    if idle:
        raise ValueError(f"attack '{idle[0]}' had no image right before it, so it has no cost")
    return tuple(
        CostPoint(
            attack=str(row["attack"]),
            robust_accuracy=float(row["robust_accuracy"]),
            forwards=float(row["forwards"]),
            backwards=float(row["backwards"]),
            seconds=float(row["seconds"]) / int(row["n_correct"]),
        )
        for row in single
    )


def pareto_front(
    points: Sequence[CostPoint], *, price: Price = "propagations"
) -> tuple[CostPoint, ...]:
    """The attacks that none beats: cheapest first, each leaving fewer robust than those before.

    Of attacks that cost and leave the same, all stay. Raises ValueError for another `price`.
    """
    if price not in PRICES:
        raise ValueError(f"price must be one of {', '.join(PRICES)}, got '{price}'")
    ordered = sorted(points, key=lambda point: (getattr(point, price), point.robust_accuracy))
    front: list[CostPoint] = []
    for point in ordered:
        last = front[-1] if front else None
        equal = last is not None and (
            getattr(last, price) == getattr(point, price)
            and last.robust_accuracy == point.robust_accuracy
        )
        if last is None or equal or point.robust_accuracy < last.robust_accuracy:
            front.append(point)
    return tuple(front)
