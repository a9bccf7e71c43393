"""The recipe `pgd-at`: cross-entropy on PGD images only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from robench.training.adversarial import AdversarialObjective
from robench.training.awp import WeightPerturbation
from robench.training.checks import check_whole
from robench.training.craft import Adversary, AdversaryNorm
from robench.training.logits import class_logits, weighted_cross_entropy
from robench.training.loop import train
from robench.training.monitor import Monitor
from robench.training.objective import Epoch
from robench.training.settings import Settings

if TYPE_CHECKING:
    from robench.data import Dataset


@dataclass(frozen=True, kw_only=True)
class PgdImages(AdversarialObjective):
    """Cross-entropy on the images of one adversary; another one attacks the validation split."""

    training: Adversary

    def crafted(self, network: nn.Module, images: Tensor, labels: Tensor, epoch: Epoch) -> Tensor:
        return self.training.images(network, images, labels, epoch.generator)

    def loss_on(
        self, network: nn.Module, images: Tensor, crafted: Tensor, labels: Tensor, epoch: Epoch
    ) -> tuple[Tensor, Tensor]:
        logits = class_logits(network(crafted))
        return weighted_cross_entropy(logits, labels, epoch.class_weights), logits


def pgd_at(
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
    epsilon: float = 8 / 255,
    steps: int = 7,
    step_size: float = 2 / 255,
    norm: AdversaryNorm = "linf",
    random_start: bool = True,
    validation_steps: int = 7,
    awp: Mapping[str, float] | None = None,
) -> nn.Module:
    """Train `network` in place on PGD images only; see `robench.training.loop.train`.

    Madry et al. 2018 (arXiv 1706.06083), equation 2.1 and section 5: CIFAR10 is trained with
    `steps` = 7 of size 2 and epsilon = 8, in units of 0 … 255. The images are crafted anew for
    each batch on the current weights, see `robench.training.craft.craft`. The epoch with the
    highest robust accuracy on the validation split, under `validation_steps` of the same
    attack, is kept. `awp`, such as {"gamma": 0.01}: see `robench.training.awp`. The other
    parameters are those of `robench.training.settings.Settings`.
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
    adversary = Adversary(
        epsilon=epsilon,
        step_size=step_size,
        steps=steps,
        norm=norm,
        random_start=random_start,
    )
    check_whole("validation_steps", validation_steps, low=1)
    return train(
        network,
        dataset,
        PgdImages(
            training=adversary,
            validation=replace(adversary, steps=validation_steps),
            awp=WeightPerturbation.of(awp),
        ),
        settings=settings,
        device=device,
        seed=seed,
        monitor=monitor,
    )
