"""What the layouts need beside the leaderboard: who is beaten by whom, image by image."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from robench.reporting.kept import Keeper, Kept
from robench.scoring.comparison import Collector, Comparison, Victim
from robench.scoring.images import Verdicts, column, image_ids
from robench.scoring.paired import Pair, compare_pairs
from robench.scoring.rows import CellRecord, Row
from robench.scoring.transfer import Transfer, Transfers
from robench.scoring.worst_case import Columns

#: What names a row of the leaderboard, the attack last.
NAMED_BY: Final = (
    "dataset", "model", "recipe", "defense", "pruning_rate", "threat", "surrogate", "norm",
    "epsilon", "seed", "attack",
)
_Cell = tuple[CellRecord, Columns, Mapping[str, Any]]


@dataclass(frozen=True)
class Details:
    """`attacks`: the comparisons of each attack, then of the worst case.

    `clean`: by data set and seed, the pairs of its victims on clean images, by `Victim.name`.
    `transfers`: the transfer cells, counted; `uncounted`: those that could not be. `keys`: the key
    of each cell by what names its row (`name_of`). `cells`: the cells with their images, for the
    layouts that count on them (`layouts.images_of`).
    """

    attacks: tuple[Comparison, ...] = ()
    clean: Mapping[tuple[str, int], tuple[Pair, ...]] = field(default_factory=dict)
    transfers: tuple[Transfer, ...] = ()
    uncounted: int = 0
    keys: Mapping[tuple[Any, ...], str] = field(default_factory=dict)
    cells: tuple[Kept, ...] = ()


class Gatherer:
    """Takes `Details` from the cells that pass through it, and the worst case's comparisons.

    Of the images it keeps the columns `images`.
    """

    def __init__(self, images: Collection[str] = ()) -> None:
        self._collector = Collector()
        self._keeper = Keeper(images)
        self._transfers = Transfers()
        self._clean: dict[tuple[str, int], dict[str, Verdicts]] = {}
        self._keys: dict[tuple[Any, ...], str] = {}

    def through(self, cells: Iterable[_Cell]) -> Iterator[_Cell]:
        """The same cells, one at a time."""
        passed = self._transfers.through(self._collector.through(self._keeper.through(cells)))
        for record, columns, metadata in passed:
            self._keys[tuple(getattr(record, name) for name in NAMED_BY)] = record.key
            known = self._clean.setdefault((record.dataset, record.seed), {})
            name = Victim(record.model, record.recipe, record.defense, record.pruning_rate).name
            if name not in known:
                right = column(columns, "clean_correct").astype(np.bool_)
                known[name] = Verdicts(image_ids(columns), right)
            yield record, columns, metadata

    def worst_case(self) -> tuple[Comparison, ...]:
        """See `Collector.worst_case`."""
        return self._collector.worst_case()

    def details(self) -> Details:
        """What was gathered. Raises ValueError where victims were not run on the same images."""
        return Details(
            attacks=(*self._collector.each_attack(), *self._collector.worst_case()),
            clean={where: compare_pairs(known) for where, known in self._clean.items()
                   if len(known) > 1},
            transfers=self._transfers.found,
            uncounted=self._transfers.uncounted,
            keys=self._keys,
            cells=self._keeper.kept,
        )


def name_of(row: Row) -> tuple[Any, ...]:
    """What names a row, as in `Details.keys`."""
    return tuple(row[name] for name in NAMED_BY)


def victim_of(row: Row) -> Victim:
    """The victim that a row is about."""
    return Victim(row["model"], row["recipe"], row["defense"], float(row["pruning_rate"]))
