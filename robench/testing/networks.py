"""Networks and images for the checks: small, always the same, with known properties."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robench.attacks.balls import Norm

SIDE = 8
_BREAKABLE_SIDE = 16


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
    """

    network: nn.Module
    images: Tensor
    labels: Tensor
    right: Tensor
    epsilon: float


def ordinary(norm: Norm, *, in_channels: int = 1, outputs: int = 10) -> Task:
    """Six images that the network gets right and two that it gets wrong."""
    network = small_network(in_channels=in_channels, outputs=outputs)
    images = pixels(8, in_channels, SIDE)
    with torch.no_grad():
        logits = network.eval()(images)
    classes = max(outputs, 2)
    predicted = (logits[:, 0] > 0).long() if outputs == 1 else logits.argmax(dim=1)
    right = torch.ones(8, dtype=torch.bool)
    right[[2, 5]] = False
    labels = torch.where(right, predicted, (predicted + 1) % classes)
    return Task(network, images, labels, right, {"linf": 0.1, "l2": 0.5, "l1": 4.0, "l0": 8}[norm])


def breakable(norm: Norm, *, classes: int) -> Task:
    """A linear network all of whose images break at half of `epsilon`, in a known direction.

    Noise does not find that direction. For norms that count few pixels, the weight is on few.
    Classes beyond the second are never predicted.
    """
    pixels_used = 16 if norm in ("l0", "l1") else _BREAKABLE_SIDE**2
    step, epsilon = {"linf": (0.1, 0.2), "l2": (0.0625, 2.0), "l1": (0.05, 4.0),
                     "l0": (0.05, 8.0)}[norm]
    generator = torch.Generator().manual_seed(3)
    order = torch.randperm(_BREAKABLE_SIDE**2, generator=generator)
    weight = torch.where(order % 2 == 0, 1.0, -1.0)
    weight[order >= pixels_used] *= 1e-3
    sides = torch.tensor([1.0, -1.0, 1.0, -1.0])
    noise = 0.02 * torch.rand(4, len(weight), generator=generator) - 0.01
    noise -= (noise @ weight)[:, None] * weight / weight.square().sum()
    images = 0.5 + noise + step * sides[:, None] * weight
    gain = 4.0 / (step * float(weight.square().sum()))
    return Task(
        _Linear(gain * weight, classes), images.reshape(4, 1, _BREAKABLE_SIDE, _BREAKABLE_SIDE),
        (sides > 0).long(), torch.ones(4, dtype=torch.bool), epsilon,
    )


class _Linear(nn.Module):
    """Logits −z/2 and z/2 of z = w·(x − 0.5), and −10 for further classes."""

    def __init__(self, weight: Tensor, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.register_buffer("others", torch.full((classes - 2,), -10.0))

    def forward(self, images: Tensor) -> Tensor:
        score = ((images - 0.5).flatten(1) @ self.weight)[:, None]
        others = self.get_buffer("others").expand(len(images), -1)
        return torch.cat([-score / 2, score / 2, others], dim=1)


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
