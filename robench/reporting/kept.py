"""The images of a run's cells, kept for the layouts that count on them anew."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from robench.scoring.rows import CellRecord
from robench.scoring.worst_case import Columns

#: The same in nearly every cell of a data set, so kept once.
_SHARED: Final = ("image_id", "group_id", "label")


@dataclass(frozen=True)
class Kept:
    """A finished cell: its record, those columns of its images that were asked for, metadata."""

    record: CellRecord
    columns: Columns
    metadata: Mapping[str, Any]


class Keeper:
    """Keeps the columns `names` of the cells that pass through it, where a cell has them."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)
        self._known: dict[tuple[str, str], Any] = {}
        self._kept: list[Kept] = []

    @property
    def kept(self) -> tuple[Kept, ...]:
        """The cells so far, in their order; none where no column was asked for."""
        return tuple(self._kept)

    def through(
        self, cells: Iterable[tuple[CellRecord, Columns, Mapping[str, Any]]]
    ) -> Iterator[tuple[CellRecord, Columns, Mapping[str, Any]]]:
        """The same cells, one at a time."""
        for record, columns, metadata in cells:
            if self._names:
                held = {name: self._one(record.dataset, name, np.asarray(column))
                        for name, column in columns.items() if name in self._names}
                self._kept.append(Kept(record, held, metadata))
            yield record, columns, metadata

    def _one(self, dataset: str, name: str, values: Any) -> Any:
        if name not in _SHARED:
            return values
        known = self._known.setdefault((dataset, name), values)
        return known if np.array_equal(known, values) else values
