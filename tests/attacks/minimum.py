"""What the tests of minimum-norm attacks compare distances on."""

from __future__ import annotations

import copy
import functools

import torch
from torch import Tensor, nn

from .hardened import hardened_cnn

TRAINED = ("standard", "hardened")


@functools.cache
def _hardened() -> nn.Module:
    return hardened_cnn(epochs=2)


def network_and_images(
    trained: str, cnn: nn.Module, digits: tuple[Tensor, Tensor], count: int
) -> tuple[nn.Module, Tensor, Tensor]:
    """`cnn`, or one trained on adversarial images, and `count` of `digits` that it gets right."""
    network = cnn if trained == "standard" else copy.deepcopy(_hardened())
    with torch.no_grad():
        rows = torch.eq(network(digits[0]).argmax(dim=1), digits[1])
    assert int(rows.sum()) >= count
    return network, digits[0][rows][:count], digits[1][rows][:count]
