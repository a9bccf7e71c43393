"""Networks, recorders and small attacks that the tests of attacks share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from robench.attacks.balls import Norm
from robench.attacks.base import Attack
from robench.attacks.log import Clean, Log
from robench.attacks.query import Query
from robench.victim import Victim


def load_digit_images() -> tuple[Tensor, Tensor]:
    """scikit-learn's digits as pixels N×1×8×8 in [0,1], and their labels."""
    scans = load_digits()
    images = torch.tensor(scans.images / 16, dtype=torch.float32)[:, None]
    return images, torch.tensor(scans.target)


def small_cnn(in_channels: int = 1, classes: int = 10) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 16, classes),
    )


def trained_cnn() -> nn.Module:
    """A small CNN with BatchNorm, trained for a moment on the first 1,400 digits."""
    images, labels = load_digit_images()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = small_cnn()
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
        for _ in range(4):
            for rows in torch.randperm(1400).split(64):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(network(images[rows]), labels[rows])
                loss.backward()
                optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return network.eval()


class Linear(nn.Module):
    """Logits W·x + b of flattened images; exact distances are known."""

    def __init__(self, weights: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights)
        self.bias = nn.Parameter(bias)

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weights.T + self.bias


class MatesMatter(nn.Module):
    """A network whose rows mix: its logits are relative to the mean of their batch."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits = self.network(images)
        return logits - 0.5 * logits.mean(dim=0, keepdim=True)


class BreaksDownError(RuntimeError):
    """What a network raises that breaks down in the middle of an attack."""


class BreaksDown(nn.Module):
    """A network that raises at its `call`-th call."""

    def __init__(self, network: nn.Module, *, call: int) -> None:
        super().__init__()
        self.network = network
        self.left = call

    def forward(self, images: Tensor) -> Tensor:
        self.left -= 1
        if self.left <= 0:
            raise BreaksDownError("out of order")
        return self.network(images)


@contextmanager
def rows_seen(network: nn.Module) -> Iterator[list[int]]:
    """How many rows each call of `network` sees, in order."""
    seen: list[int] = []
    handle = network.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    yield seen
    handle.remove()


@contextmanager
def images_seen(network: nn.Module) -> Iterator[list[np.ndarray]]:
    """What each call of `network` sees, in order."""
    seen: list[np.ndarray] = []
    handle = network.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0].detach().clone().numpy())
    )
    yield seen
    handle.remove()


@contextmanager
def backwards_seen(network: nn.Module) -> Iterator[list[int]]:
    """How many rows each backward pass through `network` has, in order."""
    seen: list[int] = []

    def watch(_: nn.Module, __: object, logits: Tensor) -> None:
        if logits.requires_grad:
            logits.register_hook(lambda gradient: seen.append(len(gradient)))

    handle = network.register_forward_hook(watch)
    yield seen
    handle.remove()


def whole_view(
    network: nn.Module, images: Tensor, labels: Tensor, *, epsilon: float, norm: Norm = "linf",
    smallest: bool = False, rowwise: bool = False,
) -> tuple[Query, Log]:
    """A view in which nothing leaves the batch (unless `rowwise`), and its log."""
    log = Log.start(images)
    rows = torch.arange(len(images))
    for weight in network.parameters():
        weight.requires_grad_(False)
    query = Query(
        Victim(network, rowwise=rowwise), images, labels, epsilon=epsilon, norm=norm,
        smallest=smallest, log=log, rows=rows, shared=Clean(rows=len(images)),
        shared_rows=rows,
    )
    return query, log


def last_iterate(
    attack: Attack, network: nn.Module, images: Tensor, labels: Tensor, epsilon: float
) -> Tensor:
    """What the algorithm itself returns, with no best iterate kept and nothing left out."""
    query, _ = whole_view(network, images, labels, epsilon=epsilon, norm=attack.norm)
    return attack.perturb(query, images, labels, epsilon=epsilon, random=None)  # type: ignore[arg-type]
