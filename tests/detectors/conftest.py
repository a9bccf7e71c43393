"""A small network trained on digits, and attacks on it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

import robench
from robench.training.craft import craft


@dataclass(frozen=True)
class Watched:
    """`network` was trained on `images`. `strong` are what PGD makes of `tests` and `nearby` what
    DeepFool does; `held_out` are for the fit, `held_out_strong` by the same PGD."""

    network: nn.Module
    images: Tensor
    labels: Tensor
    tests: Tensor
    truth: Tensor
    held_out: Tensor
    strong: Tensor
    nearby: Tensor
    held_out_strong: Tensor


def _pixels(split) -> tuple[Tensor, Tensor]:
    images = torch.from_numpy(split.images).permute(0, 3, 1, 2).float() / 255
    return images.contiguous(), torch.from_numpy(split.labels).long()


@pytest.fixture(scope="session")
def watched() -> Watched:
    digits = robench.dataset("digits")
    (images, labels), (held_out, held_out_labels), (tests, truth) = (
        _pixels(split) for split in (digits.train, digits.validation, digits.test)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 48), nn.ReLU(), nn.Linear(48, 10),
        )
        optimizer = torch.optim.Adam(network.parameters(), 3e-3)
        for _ in range(12):
            for rows in torch.randperm(len(images)).split(64):
                loss = nn.functional.cross_entropy(network(images[rows]), labels[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    network.eval()
    tests, truth = tests[:160], truth[:160]

    def attacked(some: Tensor, their: Tensor) -> Tensor:
        # The last iterates of PGD, not the first that break: they are surely wrong.
        return craft(network, some, their, epsilon=0.25, step_size=0.03, steps=20, norm="linf",
                     random_start=False, generator=torch.Generator().manual_seed(0))

    return Watched(
        network, images, labels, tests, truth, held_out,
        strong=attacked(tests, truth),
        nearby=robench.attack("deepfool")(network, tests, truth, epsilons=None)[0].adversarial,
        held_out_strong=attacked(held_out, held_out_labels),
    )
