"""The recipe `trades`: cross-entropy on clean images, and how far attacked ones are from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from robench.attacks.balls import Ball
from robench.freezing import frozen
from robench.training.adversarial import AdversarialObjective
from robench.training.awp import WeightPerturbation
from robench.training.checks import check_not_negative, check_whole
from robench.training.craft import Adversary, AdversaryNorm, ascend
from robench.training.logits import class_logits
from robench.training.loop import train
from robench.training.monitor import Monitor
from robench.training.objective import Epoch
from robench.training.settings import Settings

if TYPE_CHECKING:
    from robench.data import Dataset

START = 1e-3
"""The standard deviation of the first step away from the image, in pixels of [0,1]."""


def divergence(clean: Tensor, crafted: Tensor) -> Tensor:
    """KL(softmax(clean) ‖ softmax(crafted)) of logits N×K, length N."""
    log_clean, log_crafted = clean.log_softmax(dim=1), crafted.log_softmax(dim=1)
    return functional.kl_div(log_crafted, log_clean, reduction="none", log_target=True).sum(dim=1)


def trades_loss(
    clean: Tensor, crafted: Tensor, labels: Tensor, *, beta: float, weights: Tensor | None
) -> Tensor:
    """The mean over the images of weight(label) · (CE(clean) + `beta` · KL(clean ‖ crafted))."""
    each = functional.cross_entropy(clean, labels, reduction="none")
    each = each + beta * divergence(clean, crafted)
    return (each if weights is None else each * weights[labels]).mean()


@dataclass(frozen=True, kw_only=True)
class Trades(AdversarialObjective):
    """Zhang et al. 2019: the images are those farthest, in KL, from what the network says."""

    training: Adversary
    beta: float

    def crafted(self, network: nn.Module, images: Tensor, labels: Tensor, epoch: Epoch) -> Tensor:
        found = self.training
        ball = Ball(images, found.epsilon, found.norm)
        start = images
        if found.random_start:
            noise = torch.empty_like(images).normal_(std=START, generator=epoch.generator)
            start = ball.project(images + noise)
        with (
            frozen(network), torch.no_grad(),
            torch.autocast(images.device.type, enabled=False),
        ):
            clean = class_logits(network(images))
        return ascend(
            network, start, ball, lambda logits: divergence(clean, logits).sum(),
            step_size=found.step_size, steps=found.steps, norm=found.norm,
        )

    def loss_on(
        self, network: nn.Module, images: Tensor, crafted: Tensor, labels: Tensor, epoch: Epoch
    ) -> tuple[Tensor, Tensor]:
        clean, logits = class_logits(network(images)), class_logits(network(crafted))
        return trades_loss(
            clean, logits, labels, beta=self.beta, weights=epoch.class_weights
        ), logits


def trades(
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
    beta: float = 6.0,
    epsilon: float = 0.031,
    steps: int = 10,
    step_size: float = 0.007,
    norm: AdversaryNorm = "linf",
    random_start: bool = True,
    validation_steps: int = 10,
    awp: Mapping[str, float] | None = None,
) -> nn.Module:
    """Train `network` in place by TRADES; see `robench.training.loop.train`.

    Zhang et al. 2019 (arXiv 1901.08573), equation 3 and algorithm 1: cross-entropy on clean
    images plus `beta` times the KL divergence of what the network says of clean and of crafted
    ones. These ascend that divergence from a normal step of deviation 0.001 (`random_start`;
    there is no gradient at the image itself), in `steps` of `step_size`; section 5.3.1 for
    CIFAR10, with 1/λ = 6 and ε = 0.031. Robust accuracy on the validation split, under PGD on
    the cross-entropy with `validation_steps`, selects. `awp`: see `robench.training.awp`. The
    other parameters are those of `robench.training.settings.Settings`.
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
        epsilon=epsilon, step_size=step_size, steps=steps, norm=norm, random_start=random_start
    )
    check_not_negative("beta", beta)
    check_whole("validation_steps", validation_steps, low=1)
    objective = Trades(
        training=adversary,
        validation=replace(adversary, steps=validation_steps),
        awp=WeightPerturbation.of(awp),
        beta=beta,
    )
    return train(
        network, dataset, objective, settings=settings, device=device, seed=seed, monitor=monitor
    )
