"""No defense."""

from __future__ import annotations

from torch import nn


def none(network: nn.Module) -> nn.Module:
    """The network itself."""
    return network
