"""Fewer grey values."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robench.defenses.backward import StraightThrough
from robench.defenses.checks import check_whole


def bit_depth(network: nn.Module, *, bits: int = 5) -> nn.Module:
    """`network` behind pixels of `bits` bits, from 1 to 8; the backward pass is the identity's.

    Xu, Evans, Qi 2018 (arXiv 1704.01155), section II-B. Raises UserError for other `bits`.
    """
    return nn.Sequential(StraightThrough(BitDepth(bits)), network)


bit_depth.differentiable = False  # type: ignore[attr-defined]


class BitDepth(nn.Module):
    """Pixels in [0,1] to the nearest of 2^`bits` equally spaced values, 0 and 1 among them.

    Its own gradient is zero wherever there is one.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = check_whole("bits", bits, low=1, high=8)

    def extra_repr(self) -> str:
        return f"bits={self.bits}"

    def forward(self, images: Tensor) -> Tensor:
        steps = int(2**self.bits) - 1
        return torch.round(images * steps) / steps
