"""Who can be told apart, for everything a run has measured on the same images.

Without scipy and pandas, which take longer to load than a report takes to print.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from robench.scoring.images import Verdicts, places, verdicts
from robench.scoring.paired import Pair, compare_pairs
from robench.scoring.rows import WORST_CASE, CellRecord
from robench.scoring.tiers import Standing, standings
from robench.scoring.worst_case import Columns


@dataclass(frozen=True)
class Victim:
    """What is compared: a network, how it was trained, pruned and defended."""

    model: str
    recipe: str
    defense: str
    pruning_rate: float

    @property
    def name(self) -> str:
        """As it stands in pairs and standings, e.g. `resnet18 | pgd-at | none | 0.3`."""
        rate = str(self.pruning_rate).removesuffix(".0")
        return f"{self.model} | {self.recipe} | {self.defense} | {rate}"


@dataclass(frozen=True)
class Condition:
    """What victims have in common when they are compared.

    `attack` may be `worst-case`, and then `attacks` are those it is over: victims that met
    different attacks are not compared.
    """

    dataset: str
    threat: str
    surrogate: str | None
    attack: str
    attacks: tuple[str, ...]
    norm: str
    epsilon: float
    seed: int


@dataclass(frozen=True)
class Comparison:
    """The victims under one condition: by name, all their pairs, and where each stands."""

    condition: Condition
    victims: Mapping[str, Victim]
    pairs: tuple[Pair, ...]
    standings: tuple[Standing, ...]


class Collector:
    """Keeps of each cell that passes through only which images stayed right.

    It lets one reading of the outcomes serve the leaderboard and the comparison.
    """

    def __init__(self, *, alpha: float = 0.05) -> None:
        self._alpha = alpha
        self._cells: dict[tuple[Victim, tuple[Any, ...]], dict[str, Verdicts]] = {}

    def through(
        self, cells: Iterable[tuple[CellRecord, Columns, Mapping[str, Any]]]
    ) -> Iterator[tuple[CellRecord, Columns, Mapping[str, Any]]]:
        """The same cells, one at a time."""
        for record, columns, metadata in cells:
            victim = Victim(record.model, record.recipe, record.defense, record.pruning_rate)
            where = (record.dataset, record.threat, record.surrogate, record.norm, record.epsilon,
                     record.seed)
            self._cells.setdefault((victim, where), {})[record.attack] = verdicts(columns)
            yield record, columns, metadata

    def worst_case(self) -> tuple[Comparison, ...]:
        """A comparison for each condition with the attack `worst-case` and at least two victims.

        Conditions stand in the order of their first cell. Raises ValueError where victims, or the
        attacks on one, were not run on the same images.
        """
        groups: dict[Condition, dict[Victim, Verdicts]] = {}
        for (victim, where), attacks in self._cells.items():
            condition = _condition(where, WORST_CASE, tuple(sorted(attacks)))
            groups.setdefault(condition, {})[victim] = _worst(attacks)
        return self._compared(groups)

    def each_attack(self) -> tuple[Comparison, ...]:
        """As `worst_case`, for each attack on its own."""
        groups: dict[Condition, dict[Victim, Verdicts]] = {}
        for (victim, where), attacks in self._cells.items():
            for attack, held in attacks.items():
                groups.setdefault(_condition(where, attack, (attack,)), {})[victim] = held
        return self._compared(groups)

    def _compared(
        self, groups: Mapping[Condition, Mapping[Victim, Verdicts]]
    ) -> tuple[Comparison, ...]:
        found = []
        for condition, members in groups.items():
            if len(members) < 2:
                continue
            named = {victim.name: held for victim, held in members.items()}
            pairs = compare_pairs(named, alpha=self._alpha)
            found.append(
                Comparison(
                    condition=condition,
                    victims={victim.name: victim for victim in members},
                    pairs=pairs,
                    standings=standings(named, pairs),
                )
            )
        return tuple(found)


def compare(
    cells: Iterable[tuple[CellRecord, Columns, Mapping[str, Any]]], *, alpha: float = 0.05
) -> tuple[Comparison, ...]:
    """All comparisons of a run's cells (see `leaderboard_rows`): each attack, then worst-case.

    The pairs of one condition are the family of Holm's method; nothing is adjusted across
    conditions. Raises ValueError where images differ.
    """
    collector = Collector(alpha=alpha)
    for _ in collector.through(cells):
        pass
    return (*collector.each_attack(), *collector.worst_case())


def _condition(where: tuple[Any, ...], attack: str, attacks: tuple[str, ...]) -> Condition:
    dataset, threat, surrogate, norm, epsilon, seed = where
    return Condition(dataset, threat, surrogate, attack, attacks, norm, epsilon, seed)


def _worst(attacks: Mapping[str, Verdicts]) -> Verdicts:
    """An image stays right only where it does under every attack."""
    first, *others = attacks
    ids, robust = attacks[first].image_ids, attacks[first].robust
    for name in others:
        held = attacks[name]
        robust = robust & held.robust[places(ids, held.image_ids, names=(first, name))]
    return Verdicts(ids, robust)
