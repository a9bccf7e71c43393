"""Transferred images: what share of those that fooled their surrogate fools another network.

The protocol of Chen et al. (Medical Physics 2021, section 3.1): images are crafted on a surrogate,
only those that fool it are kept, and these are shown unchanged to every target.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from robench.scoring.images import Verdicts, column, image_ids
from robench.scoring.rows import CellRecord
from robench.scoring.worst_case import Columns

TRANSFER: Final = "transfer"
_ON_SURROGATE: Final = "surrogate_success"


@dataclass(frozen=True)
class Transfer:
    """A transfer cell, counted.

    `kept`: images whose adversarial version fooled the surrogate. `fooled`: those of them that the
    target gets wrong, whatever it said of the clean image, which is the paper's rate. `kept_right`:
    those of the kept that the target had right when clean; `fooled_right`: those of them that are
    broken. `stood` holds the kept images, and which of them did not fool the target.
    """

    record: CellRecord
    n: int
    kept: int
    fooled: int
    kept_right: int
    fooled_right: int
    stood: Verdicts


class Transfers:
    """Counts the transfer cells that pass through it."""

    def __init__(self) -> None:
        self._found: list[Transfer] = []
        self._uncounted = 0

    @property
    def found(self) -> tuple[Transfer, ...]:
        """The transfer cells so far, in their order."""
        return tuple(self._found)

    @property
    def uncounted(self) -> int:
        """Transfer cells that do not say which images fooled their surrogate."""
        return self._uncounted

    def through(
        self, cells: Iterable[tuple[CellRecord, Columns, Mapping[str, Any]]]
    ) -> Iterator[tuple[CellRecord, Columns, Mapping[str, Any]]]:
        """The same cells, one at a time."""
        for record, columns, metadata in cells:
            if record.threat == TRANSFER:
                if _ON_SURROGATE in columns:
                    self._found.append(count_transfer(record, columns))
                else:
                    self._uncounted += 1
            yield record, columns, metadata


def count_transfer(record: CellRecord, columns: Columns) -> Transfer:
    """The counts of one transfer cell's outcome table.

    Raises ValueError for a missing column, no image, or an image id that stands twice.
    """
    ids = image_ids(columns)
    kept = column(columns, _ON_SURROGATE).astype(np.bool_)
    right = kept & column(columns, "clean_correct").astype(np.bool_)
    wrong = column(columns, "adversarial_prediction") != column(columns, "label")
    broken = column(columns, "success").astype(np.bool_)
    return Transfer(
        record=record,
        n=len(ids),
        kept=int(kept.sum()),
        fooled=int((kept & wrong).sum()),
        kept_right=int(right.sum()),
        fooled_right=int((right & broken).sum()),
        stood=Verdicts(ids[kept], ~wrong[kept]),
    )
