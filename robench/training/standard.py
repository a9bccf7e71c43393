"""The recipe `standard`: cross-entropy on clean images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from robench.training.logits import class_logits, weighted_cross_entropy
from robench.training.loop import train
from robench.training.monitor import Monitor
from robench.training.objective import Epoch
from robench.training.settings import Settings

if TYPE_CHECKING:
    from robench.data import Dataset


@dataclass(frozen=True)
class CleanImages:
    """Cross-entropy on clean images; clean validation accuracy selects."""

    def loss(
        self, network: nn.Module, images: Tensor, labels: Tensor, epoch: Epoch
    ) -> tuple[Tensor, Tensor]:
        logits = class_logits(network(images))
        return weighted_cross_entropy(logits, labels, epoch.class_weights), logits

    def attacked(self, *_: object) -> None:
        return None


def standard(
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
) -> nn.Module:
    """Train `network` in place on clean images; see `robench.training.loop.train`.

    The parameters are those of `robench.training.settings.Settings`.
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
    return train(
        network,
        dataset,
        CleanImages(),
        settings=settings,
        device=device,
        seed=seed,
        monitor=monitor,
    )
