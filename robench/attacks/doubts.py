"""Iterates whose verdict hangs on the network itself, asked about once the host knows which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from robench.attacks.glance import Glance

if TYPE_CHECKING:
    from robench.attacks.query import Query

WAITING = 4
"""Iterates of so many passes wait at the most; then the host waits for the device."""


@dataclass(frozen=True)
class Doubt:
    """The candidates N×C×H×W of one pass of a view, their logits N×K, and what each of its images
    had cost by then; `asked` are those to ask the network itself about."""

    view: Query
    candidates: Tensor
    logits: Tensor
    forwards: Tensor
    backwards: Tensor
    asked: Glance
