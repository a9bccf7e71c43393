"""The recipe `gaussian`: cross-entropy on images with normal noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from robench.training.checks import check_flag, check_positive
from robench.training.logits import class_logits, weighted_cross_entropy
from robench.training.loop import train
from robench.training.monitor import Monitor
from robench.training.objective import Epoch
from robench.training.settings import Settings

if TYPE_CHECKING:
    from robench.data import Dataset


@dataclass(frozen=True, kw_only=True)
class NoisyImages:
    """Cross-entropy on noisy images; the same noise on the validation images selects."""

    sigma: float
    clip: bool

    def loss(
        self, network: nn.Module, images: Tensor, labels: Tensor, epoch: Epoch
    ) -> tuple[Tensor, Tensor]:
        logits = class_logits(network(self.noisy(images, epoch.generator)))
        return weighted_cross_entropy(logits, labels, epoch.class_weights), logits

    def attacked(
        self, network: nn.Module, images: Tensor, labels: Tensor, epoch: Epoch
    ) -> Tensor:
        return self.noisy(images, epoch.generator)

    def noisy(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """`images` with noise of standard deviation `sigma`, cut to [0,1] if `clip` says so."""
        noise = torch.empty_like(images).normal_(std=self.sigma, generator=generator)
        moved = images + noise
        return moved.clamp(0.0, 1.0) if self.clip else moved


def gaussian(
    network: nn.Module,
    dataset: Dataset,
    *,
    device: torch.device | str,
    seed: int,
    monitor: Monitor | None = None,
    epochs: int = 20,
    batch_size: int = 64,
    optimizer: str = "adam",
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-4,
    momentum: float = 0.9,
    schedule: str = "cosine",
    class_weights: str = "auto",
    patience: int | None = None,
    sigma: float = 0.25,
    clip: bool = False,
) -> nn.Module:
    """Train `network` in place on noisy images; see `robench.training.loop.train`.

    Cohen, Rosenfeld, Kolter 2019 (arXiv 1902.02918), section 3.3: each image is trained on with
    noise of standard deviation `sigma`, in pixels of [0,1], drawn anew each time and not cut to
    [0,1], which `clip` does. The epoch with the most validation images right without and with
    noise is kept. The other parameters are those of `robench.training.settings.Settings`.
    """
    settings = Settings(
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optimizer,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        momentum=momentum,
        schedule=schedule,
        class_weights=class_weights,
        patience=patience,
    )
    check_positive("sigma", sigma)
    check_flag("clip", clip)
    return train(
        network, dataset, NoisyImages(sigma=sigma, clip=clip), settings=settings, device=device,
        seed=seed, monitor=monitor,
    )
