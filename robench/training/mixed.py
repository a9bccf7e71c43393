"""How a network is trained on a GPU: bfloat16 where it suffices, channels-last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

_DEVICES = ("cuda",)


@contextmanager
def mixed(device: torch.device) -> Iterator[None]:
    """On a GPU, passes inside choose bfloat16 by themselves where float32 is not needed; losses
    stay in float32. Adversarial images are crafted in float32 all the same: the crafting turns
    this off."""
    enabled = device.type in _DEVICES
    with torch.autocast(device.type, dtype=torch.bfloat16 if enabled else None, enabled=enabled):
        yield


def arranged_for(device: torch.device, network: nn.Module) -> nn.Module:
    """`network` with its weights channels-last on a GPU, in place."""
    if device.type in _DEVICES:
        network.to(memory_format=torch.channels_last)
    return network
