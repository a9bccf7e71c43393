"""Cells as the layouts show them that count images anew: beside each its row of the leaderboard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from robench.reporting.details import name_of
from robench.reporting.flags import split
from robench.reporting.table import RunTable
from robench.scoring.images import column, group_ids, image_ids, places
from robench.scoring.rows import WORST_CASE, Row
from robench.scoring.worst_case import Columns

#: Names in one reason of `Gaps.note`.
_MOST: Final = 6


@dataclass(frozen=True)
class Shown:
    """A finished cell: its row of the leaderboard, its images, its metadata."""

    row: Row
    columns: Columns
    metadata: Mapping[str, Any]

    @property
    def attack(self) -> str:
        return str(self.row["attack"])

    @property
    def epsilon(self) -> float:
        return float(self.row["epsilon"])


def shown(table: RunTable) -> list[Shown]:
    """The cells of a run in their order. Raises ValueError where their images were not kept."""
    kept = table.details.cells if table.details else ()
    if not kept:
        raise ValueError("a layout that counts images needs them: table(details=True, images=…)")
    rows = {name_of(row): row for row in table.rows}
    return [Shown(rows[name_of(vars(cell.record))], cell.columns, cell.metadata) for cell in kept]


def by(cells: Iterable[Shown], *names: str) -> dict[tuple[Any, ...], list[Shown]]:
    """The cells whose rows agree in the columns `names`, in the order of their first."""
    found: dict[tuple[Any, ...], list[Shown]] = {}
    for cell in cells:
        found.setdefault(tuple(cell.row[name] for name in names), []).append(cell)
    return found


def by_attack(cells: Iterable[Shown]) -> dict[str, list[Shown]]:
    """The cells of one victim by their attacks, epsilons ascending."""
    return {str(attack): sorted(members, key=lambda cell: cell.epsilon)
            for (attack,), members in by(cells, "attack").items()}


def worst_name(attacks: Sequence[str]) -> str:
    """What the worst case over some attacks is called: of one, that attack."""
    return WORST_CASE if len(attacks) > 1 else attacks[0]


def flags_of(cells: Iterable[Shown]) -> tuple[str, ...]:
    """Every flag that the rows of some cells carry."""
    return tuple(sorted({flag for cell in cells for flag in split(cell.row["flags"])}))


def worst_columns(tables: Sequence[Columns]) -> Columns:
    """Who is right before every attack, and broken by any: the columns that surfaces need.

    Raises ValueError for different images.
    """
    ids = image_ids(tables[0])
    clean, broken = np.ones(len(ids), dtype=np.bool_), np.zeros(len(ids), dtype=np.bool_)
    for table in tables:
        order = places(ids, image_ids(table), names=("one attack", "another"))
        clean &= column(table, "clean_correct").astype(np.bool_)[order]
        broken |= column(table, "success").astype(np.bool_)[order]
    return {"image_id": ids, "group_id": group_ids(tables[0]), "clean_correct": clean,
            "success": clean & broken}


def grouped_images(columns: Columns) -> bool:
    """Whether some images are of one group (patient)."""
    groups = group_ids(columns)
    return len(set(groups)) < len(groups)


@dataclass
class Gaps:
    """What could not be had, and why: the reasons of the dashes."""

    why: dict[str, dict[str, None]] = field(default_factory=dict)

    def add(self, reason: str, name: str) -> str:
        """Remember that `name` has a dash for a `reason`, which is given back."""
        self.why.setdefault(reason, {})[name] = None
        return reason

    @property
    def notes(self) -> tuple[str, ...]:
        """The note on all dashes; none where there is no dash."""
        said = []
        for reason, named in self.why.items():
            names = list(named)
            more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
            said.append(f"{reason} ({'; '.join(names[:_MOST])}{more})")
        return (f"Not to be had: {'; '.join(said)}.",) if said else ()
