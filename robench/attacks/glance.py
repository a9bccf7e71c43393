"""A look at values of a device that does not make the host wait for them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


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

    def rows(self) -> Tensor:
        """The rows that held, int64, on the device; the host waits for values that have not
        arrived."""
        if self._copied is not None:
            self._copied.synchronize()
        rows = torch.from_numpy(np.flatnonzero(self._host.numpy()))
        if self._copied is None:
            return rows
        return rows.pin_memory().to(self._device, non_blocking=True)
