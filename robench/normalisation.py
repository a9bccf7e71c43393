"""Means and deviations of pixels, as the first layer inside a network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robench.errors import VictimError


class Normalize(nn.Module):
    """(pixels − mean) / std per channel, the first layer inside a network.

    Raises VictimError for images of another number of channels, which would not always fail
    by themselves: one channel is spread over three without a word.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(list(mean)).reshape(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(list(std)).reshape(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        channels = self.mean.shape[1]
        if images.dim() != 4 or images.shape[1] != channels:
            raise VictimError(
                "the images do not fit the network's in_channels", got=list(images.shape),
                expected=f"N×{channels}×H×W",
            )
        return (images - self.mean) / self.std


def with_normalisation(network: nn.Module, in_channels: int) -> nn.Module:
    """`network` behind a Normalize layer where it states the `mean` and `std` it expects."""
    mean, std = getattr(network, "mean", None), getattr(network, "std", None)
    if mean is None or std is None or isinstance(network, Normalize):
        return network
    mean, std = ([float(value) for value in values] for values in (mean, std))
    if in_channels == 1 and len(mean) == 3:
        mean, std = [sum(mean) / 3], [sum(std) / 3]
    if len(mean) != in_channels or len(std) != in_channels:
        raise VictimError("the network's mean and std do not fit its input",
                          got=f"{len(mean)} and {len(std)} values",
                          expected=f"{in_channels}, one for each channel")
    return nn.Sequential(Normalize(mean, std), network)


def expecting(network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> nn.Module:
    """`network`, stating the `mean` and `std` of its channels for `with_normalisation`."""
    object.__setattr__(network, "mean", tuple(mean))
    object.__setattr__(network, "std", tuple(std))
    return network
