"""Iterates whose verdict hangs on the network itself, asked about once the host knows which."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from robench.attacks.glance import Glance

if TYPE_CHECKING:
    from robench.attacks.log import Log

WAITING = 4
"""Iterates of so many passes wait at the most; then the host waits for the device."""


@dataclass(frozen=True)
class Doubt:
    """Candidates N×C×H×W of one pass, the images N×C×H×W and labels N they are of, their `rows` in
    the log, their logits N×K, and what each had cost by then; `asked` are those to ask the network
    itself about. `ends`: the search is done with an image that is broken."""

    candidates: Tensor
    images: Tensor
    labels: Tensor
    rows: Tensor
    logits: Tensor
    forwards: Tensor
    backwards: Tensor
    asked: Glance
    ends: bool

    def known(self) -> Doubt:
        """The rows asked about alone, for which the host waits if it must."""
        rows = self.asked.rows()
        return replace(
            self, candidates=self.candidates[rows], images=self.images[rows],
            labels=self.labels[rows], rows=self.rows[rows], logits=self.logits[rows],
            forwards=self.forwards[rows], backwards=self.backwards[rows],
        )

    def end(self, log: Log) -> None:
        """Take back what was counted of an image after it was broken, which is known only now."""
        first = log.found[self.rows] & (log.first_success[self.rows] == self.forwards)
        for column, then in ((log.forwards, self.forwards), (log.backwards, self.backwards)):
            column[self.rows] = torch.where(first, then, column[self.rows])
