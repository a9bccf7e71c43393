"""Networks and images for the checks: small, always the same, with known properties."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robench.attacks.balls import Norm

SIDE = 8


def pixels(count: int, in_channels: int, side: int, *, seed: int = 0) -> Tensor:
    """Smooth random images, float32 `count`×C×side×side in [0,1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, in_channels, 4, 4, generator=generator)
    return nn.functional.interpolate(coarse, size=(side, side), mode="bilinear").clamp(0.0, 1.0)


def small_network(*, in_channels: int, outputs: int, dropout: float = 0.0) -> nn.Module:
    """Convolutions, BatchNorm and a linear layer, for any size; always the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(7)
        network = nn.Sequential(
            nn.Conv2d(in_channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
            nn.AdaptiveAvgPool2d(4), nn.Dropout(dropout), nn.Flatten(), nn.Linear(128, outputs),
        )
    statistics = network[1]
    assert isinstance(statistics, nn.BatchNorm2d)
    assert statistics.running_mean is not None
    statistics.running_mean.fill_(0.1)
    return network


@dataclass(frozen=True)
class Task:
    """A network to attack, and images with labels; `right` where it is right about them.

    `epsilon` is a budget that decides something: some images break within it, or all do.
    `lessons` are other images, for an attack that learns; None where any will do.
    """

    network: nn.Module
    images: Tensor
    labels: Tensor
    right: Tensor
    epsilon: float
    lessons: Tensor | None = None


def ordinary(
    norm: Norm, *, in_channels: int = 1, outputs: int = 10, count: int = 8
) -> Task:
    """Images of which the network gets all right but the third and the sixth of every eight."""
    network = small_network(in_channels=in_channels, outputs=outputs)
    images = pixels(count, in_channels, SIDE)
    with torch.no_grad():
        logits = network.eval()(images)
    classes = max(outputs, 2)
    predicted = (logits[:, 0] > 0).long() if outputs == 1 else logits.argmax(dim=1)
    right = torch.tensor([row % 8 not in (2, 5) for row in range(count)])
    labels = torch.where(right, predicted, (predicted + 1) % classes)
    return Task(network, images, labels, right, {"linf": 0.1, "l2": 0.5, "l1": 4.0, "l0": 8}[norm])


class RaisesError(RuntimeError):
    """What a network raises that breaks down in the middle of an attack."""


class Raises(nn.Module):
    """A network that raises at its `call`-th call only, and counts its `calls`."""

    def __init__(self, network: nn.Module, *, call: int) -> None:
        super().__init__()
        self.network = network
        self.call = call
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == self.call:
            raise RaisesError(f"the network broke down at call {self.call}")
        logits: Tensor = self.network(images)
        return logits
