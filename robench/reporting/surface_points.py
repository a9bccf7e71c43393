"""The surfaces of a run's networks: at each epsilon the sparsities that the same attacks met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from robench.reporting.panels import sentence
from robench.reporting.shown import Gaps, Shown, by, flags_of, worst_columns, worst_name
from robench.scoring.pruning_surface import Slice, slice_at
from robench.scoring.rows import Row

NETWORK: Final = ("model", "recipe", "defense")


@dataclass(frozen=True)
class Level:
    """One epsilon of a network: the slice under the worst case over `attacks`, and its cells.

    `cells` holds those of each sparsity of the slice.
    """

    epsilon: float
    attacks: tuple[str, ...]
    held: Slice
    cells: Mapping[float, tuple[Shown, ...]]

    @property
    def called(self) -> str:
        return worst_name(self.attacks)

    @property
    def flags(self) -> tuple[str, ...]:
        return flags_of(cell for cells in self.cells.values() for cell in cells)


@dataclass(frozen=True)
class Network:
    """A network at several sparsities: its levels, epsilons ascending; `row` says which it is."""

    row: Row
    levels: tuple[Level, ...]

    @property
    def name(self) -> str:
        return sentence(self.row, NETWORK)

    @property
    def sparsities(self) -> tuple[float, ...]:
        """Every sparsity of a level, ascending."""
        return tuple(sorted({one for level in self.levels for one in level.held.sparsities}))

    def at(self, epsilon: float) -> Level | None:
        """The level of an epsilon, if it has one."""
        return next((level for level in self.levels if level.epsilon == epsilon), None)

    def cells(self, sparsity: float) -> tuple[Shown, ...]:
        """The cells of a sparsity at all epsilons."""
        return tuple(cell for level in self.levels for cell in level.cells.get(sparsity, ()))


def networks(cells: Sequence[Shown], gaps: Gaps) -> list[Network]:
    """The networks of one data set, threat, norm and seed that have a surface."""
    found = []
    for members in by(cells, *NETWORK).values():
        levels = []
        for (epsilon,), here in sorted(by(members, "epsilon").items()):
            level = _level(epsilon, here, f"{sentence(here[0].row, NETWORK)} · ε {epsilon:g}", gaps)
            if level is not None:
                levels.append(level)
        if levels:
            found.append(Network(members[0].row, tuple(levels)))
    return found


def _level(epsilon: float, cells: Sequence[Shown], named: str, gaps: Gaps) -> Level | None:
    by_sparsity: dict[float, dict[str, Shown]] = {}
    for (rate,), members in sorted(by(cells, "pruning_rate").items()):
        sparsity = float(members[0].row["sparsity"])
        if sparsity in by_sparsity:
            gaps.add("the same sparsity as at a smaller rate", f"{named} · pruned {rate:g}")
        else:
            by_sparsity[sparsity] = {cell.attack: cell for cell in members}
    attacks = _common([frozenset(known) for known in by_sparsity.values()])
    if not attacks:
        gaps.add("no surface: fewer than two sparsities that one attack met", named)
        return None
    held = {}
    for sparsity, known in by_sparsity.items():
        if attacks <= known.keys():
            held[sparsity] = tuple(cell for name, cell in known.items() if name in attacks)
        else:
            gaps.add("not all of the attacks met this sparsity", f"{named} · zeros {sparsity:.3g}")
    ordered = tuple(dict.fromkeys(cell.attack for cell in cells if cell.attack in attacks))
    return Level(epsilon, ordered, slice_at(epsilon, (
        (sparsity, worst_columns([cell.columns for cell in known]))
        for sparsity, known in held.items())), held)


def _common(met: Sequence[frozenset[str]]) -> frozenset[str]:
    """The most attacks that two sparsities share, of equals those that most sparsities met."""
    shared = [one & other for one, other in combinations(met, 2)]
    return max(shared, default=frozenset(), key=lambda names: (
        len(names), sum(names <= known for known in met), tuple(sorted(names))))
