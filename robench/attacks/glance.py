"""A look at values of a device that does not make the host wait for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robench.device import reading_waits

_LOOK_EVERY = 5
"""Steps between two looks, where the host is ahead of the device."""


@dataclass(frozen=True)
class Told:
    """Rows of a batch, int64 on its device, and listed on the host."""

    rows: Tensor
    listed: list[int]


class Glance:
    """Which rows hold, boolean of length N, as the device will have them once it comes to that."""

    def __init__(self, holds: Tensor) -> None:
        self._device = holds.device
        self._host = torch.empty(holds.shape, dtype=torch.bool, pin_memory=holds.is_cuda)
        self._host.copy_(holds, non_blocking=True)
        self._copied: torch.cuda.Event | None = None
        if holds.is_cuda:
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record(torch.cuda.current_stream(holds.device))

    def arrived(self) -> bool:
        """Whether the values are there."""
        return self._copied is None or self._copied.query()  # type: ignore[no-untyped-call]

    def told(self) -> Told:
        """The rows that held; the host waits for values that have not arrived."""
        if self._copied is not None:
            self._copied.synchronize()
        listed = np.flatnonzero(self._host.numpy())
        rows = torch.from_numpy(listed)
        if self._copied is not None:
            rows = rows.pin_memory().to(self._device, non_blocking=True)
        return Told(rows, listed.tolist())


class Lookout:
    """Asked at every step which rows hold; where reading values makes the host wait, it tells now
    and then what held a few steps ago. The host is so many steps ahead at the most. One that is
    `punctual` tells it as many steps later every time, however far the device has come."""

    def __init__(self, *, punctual: bool = False) -> None:
        self._punctual = punctual
        self._steps = 0
        self._glance: Glance | None = None
        self.told: Told | None = None  # what it told last, where the host has it

    def rows(
        self, holds: Callable[[], Tensor], device: torch.device, *, waiting: bool = False
    ) -> Tensor | None:
        """The rows that hold, boolean of length N at every step; None where there is no news.
        `waiting`, to know it exactly there too."""
        if waiting or not reading_waits(device):
            return holds().nonzero()[:, 0]
        self._steps += 1
        due = self._steps >= _LOOK_EVERY
        early = not self._punctual and self._glance is not None and self._glance.arrived()
        if self._glance is not None and (due or early):
            self.told, self._glance = self._glance.told(), None
            self._steps = 0
            return self.told.rows
        if self._glance is None and due:
            self._glance, self._steps = Glance(holds()), 0
        return None
