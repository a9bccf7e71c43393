"""The constant that weighs a loss against the distance, searched for each image."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

_LARGEST = 1e10


@dataclass
class Tradeoff:
    """The constants of N images: `value` is tried next, `low` is the largest that failed, `high`
    the smallest that succeeded (infinite until one does)."""

    value: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def start(cls, count: int, initial: float, device: torch.device) -> Tradeoff:
        value = torch.full((count,), initial, device=device)
        return cls(value, torch.zeros_like(value), torch.full_like(value, torch.inf))

    def update(self, rows: Tensor, success: Tensor) -> None:
        """After a try on the images in the mask `rows`: the middle between `low` and `high`, or
        ten times as much while none has succeeded."""
        self.high = torch.where(rows & success, self.high.minimum(self.value), self.high)
        self.low = torch.where(rows & ~success, self.low.maximum(self.value), self.low)
        middle = (self.low + self.high) / 2
        following = torch.where(torch.isfinite(middle), middle, 10 * self.value)
        self.value = torch.where(rows, following.clamp_max(_LARGEST), self.value)

    def repeat_best(self, rows: Tensor) -> None:
        """In the mask `rows`, the smallest that succeeded once more, where there is one."""
        self.value = torch.where(rows & torch.isfinite(self.high), self.high, self.value)

    def select(self, rows: Tensor) -> Tradeoff:
        return Tradeoff(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})
