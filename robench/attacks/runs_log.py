"""What is known of images that several runs of a search attack in the same passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from robench.attacks.log import Log, put


@dataclass
class RunsLog(Log):
    """A log of N images in each of `runs`: all of the first run, then all of the second, ...

    What it tells is what the log of runs that follow one another would say, each on the images
    that the ones before it left unbroken.
    """

    runs: int = 1

    @classmethod
    def of(cls, log: Log, rows: Tensor, *, runs: int) -> Self:
        """Runs on some `rows` of a log, from what that knows of them."""
        def repeated(column: Tensor) -> Tensor:
            return column[rows].repeat(runs, *[1] * (column.dim() - 1))

        made = cls.start(repeated(log.best))
        made.runs = runs
        made.margin, made.prediction = repeated(log.margin), repeated(log.prediction)
        made.distance, made.found = repeated(log.distance), repeated(log.found)
        return made

    def standing(self, rows: Tensor) -> Tensor:
        """Those of `rows` that neither their run nor an earlier one has broken."""
        return self._unbroken().flatten()[rows]

    def tell(self, log: Log, rows: Tensor) -> None:
        """Write to `rows` of the log, whose images these are, what the runs have found and spent.

        Reads no value on the host.
        """
        number = torch.arange(self.runs, device=rows.device)[:, None]
        image = torch.arange(len(rows), device=rows.device)
        first = self._unbroken().sum(dim=0)  # that broke the image; `runs` where none did
        least = self._by_run(self.margin).min(dim=0).indices  # the first of these
        standing = ~log.found[rows]
        broken = standing & (first < self.runs)
        chosen = torch.where(broken, first, least)

        def of_chosen(column: Tensor) -> Tensor:
            return self._by_run(column)[chosen, image]

        def spent(column: Tensor, runs: Tensor) -> Tensor:
            return (self._by_run(column) * (runs & standing)).sum(dim=0, dtype=column.dtype)

        before = log.forwards[rows] + spent(self.forwards, number < first)
        better = broken | (standing & (of_chosen(self.margin) < log.margin[rows]))
        put(log.first_success, rows, before + of_chosen(self.first_success), where=broken)
        put(log.found, rows, broken, where=broken)
        for name in ("best", "margin", "prediction", "distance"):
            put(getattr(log, name), rows, of_chosen(getattr(self, name)), where=better)
        made = number <= first
        log.forwards[rows] += spent(self.forwards, made)
        log.backwards[rows] += spent(self.backwards, made)
        for name in ("gradient_seen", "gradient_alive", "tried", "unstarted"):
            seen = (self._by_run(getattr(self, name)) & made & standing).any(dim=0)
            getattr(log, name)[rows] |= seen

    def _unbroken(self) -> Tensor:
        """Which images stand after each run, boolean runs×N."""
        return self._by_run(self.found).to(torch.uint8).cummax(dim=0).values == 0

    def _by_run(self, column: Tensor) -> Tensor:
        """A column as runs×N×…"""
        return column.view(self.runs, -1, *column.shape[1:])
