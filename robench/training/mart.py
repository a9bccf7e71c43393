"""The recipe `mart`: attacked images, those weighted most that were wrong before the attack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from robench.training.adversarial import AdversarialObjective
from robench.training.awp import WeightPerturbation
from robench.training.checks import check_not_negative, check_whole
from robench.training.craft import Adversary, AdversaryNorm
from robench.training.logits import class_logits
from robench.training.loop import train
from robench.training.monitor import Monitor
from robench.training.objective import Epoch
from robench.training.settings import Settings
from robench.training.trades import divergence

if TYPE_CHECKING:
    from robench.data import Dataset


def boosted_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """−log p_y − log(1 − max over k ≠ y of p_k) of logits N×K, length N.

    Wang et al. 2020, equation 8: cross-entropy and a margin term. Worked out from the logits,
    so that it stays finite where a probability rounds to 1.
    """
    total = logits.logsumexp(dim=1)
    true = logits.gather(1, labels[:, None])[:, 0]
    others = logits.scatter(1, labels[:, None], float("-inf"))
    without_best = logits.scatter(1, others.argmax(dim=1, keepdim=True), float("-inf"))
    return 2.0 * total - true - without_best.logsumexp(dim=1)


def mart_loss(
    clean: Tensor, crafted: Tensor, labels: Tensor, *, beta: float, weights: Tensor | None
) -> Tensor:
    """The mean of weight(label) · (BCE(crafted) + `beta` · KL(clean ‖ crafted) · (1 − p_y(clean))).

    Wang et al. 2020, equation 11; `beta` is λ there.
    """
    doubt = 1.0 - clean.softmax(dim=1).gather(1, labels[:, None])[:, 0]
    each = boosted_cross_entropy(crafted, labels) + beta * divergence(clean, crafted) * doubt
    return (each if weights is None else each * weights[labels]).mean()


@dataclass(frozen=True, kw_only=True)
class Mart(AdversarialObjective):
    """Wang et al. 2020: PGD images on the cross-entropy, and their loss."""

    training: Adversary
    beta: float

    def crafted(self, network: nn.Module, images: Tensor, labels: Tensor, epoch: Epoch) -> Tensor:
        return self.training.images(network, images, labels, epoch.generator)

    def loss_on(
        self, network: nn.Module, images: Tensor, crafted: Tensor, labels: Tensor, epoch: Epoch
    ) -> tuple[Tensor, Tensor]:
        clean, logits = class_logits(network(images)), class_logits(network(crafted))
        return mart_loss(clean, logits, labels, beta=self.beta, weights=epoch.class_weights), logits


def mart(
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
    beta: float = 5.0,
    epsilon: float = 8 / 255,
    steps: int = 10,
    step_size: float = 2 / 255,
    norm: AdversaryNorm = "linf",
    random_start: bool = True,
    validation_steps: int = 10,
    awp: Mapping[str, float] | None = None,
) -> nn.Module:
    """Train `network` in place by MART; see `robench.training.loop.train`.

    Wang et al. 2020 (ICLR), equation 11 and algorithm 1: the boosted cross-entropy of PGD images
    plus `beta` (λ = 5 in section 4) times the divergence from the clean ones, weighted by how
    little the network gives the true class of the clean image. PGD as in section 4: ε = 8/255,
    10 steps of ε/4, random start. Robust accuracy on the validation split, under
    `validation_steps` of the same attack, selects. `awp`: see `robench.training.awp`. The other
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
        epsilon=epsilon, step_size=step_size, steps=steps, norm=norm, random_start=random_start
    )
    check_not_negative("beta", beta)
    check_whole("validation_steps", validation_steps, low=1)
    objective = Mart(
        training=adversary,
        validation=replace(adversary, steps=validation_steps),
        awp=WeightPerturbation.of(awp),
        beta=beta,
    )
    return train(
        network, dataset, objective, settings=settings, device=device, seed=seed, monitor=monitor
    )
