"""The recipe `mixed-at`: clean images and those of several attacks, which take turns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor, nn

from robench.attacks.jsma import JSMA
from robench.errors import UserError
from robench.training.adversarial import AdversarialObjective
from robench.training.awp import WeightPerturbation
from robench.training.checks import check_choice, check_positive, check_whole
from robench.training.craft import Adversary
from robench.training.logits import class_logits, weighted_cross_entropy
from robench.training.loop import train
from robench.training.monitor import Monitor
from robench.training.objective import Epoch
from robench.training.settings import Settings
from robench.victim import Victim

if TYPE_CHECKING:
    from robench.data import Dataset

Name = Literal["fgsm", "pgd", "bim", "jsma"]
ATTACKS: tuple[Name, ...] = get_args(Name)


@dataclass(frozen=True, kw_only=True)
class Attackers:
    """The attacks by their names in `turns`; `jsma` is used only where it has one."""

    turns: Sequence[Name]
    fgsm: Adversary
    pgd: Adversary
    bim: Adversary
    jsma: JSMA

    def __post_init__(self) -> None:
        if not isinstance(self.turns, (list, tuple)) or not self.turns:
            raise UserError("parameter 'attacks' is not usable", got=self.turns,
                            expected=f"a list of some of {', '.join(ATTACKS)}")
        for name in self.turns:
            check_choice("attacks", name, ATTACKS)

    def images(
        self, network: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Image i of the batch under the attack whose turn it is: number i modulo their number."""
        crafted = images.clone()
        for turn, name in enumerate(self.turns):
            rows = torch.arange(turn, len(images), len(self.turns), device=images.device)
            if len(rows):
                crafted[rows] = self._by(name, network, images[rows], labels[rows], generator)
        return crafted

    def _by(
        self, name: Name, network: nn.Module, images: Tensor, labels: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        if name != "jsma":
            adversary: Adversary = getattr(self, name)
            return adversary.images(network, images, labels, generator)
        victim = Victim(network)
        while victim.tile(images.device, len(images)) >= 2 * len(images):
            victim.halve_tiles(images.device)  # no tile is filled up with more copies than images
        ids = [str(row) for row in range(len(images))]  # nothing is drawn by them
        (found,) = self.jsma(victim, images, labels, epsilons=None, image_ids=ids)
        return found.adversarial


@dataclass(frozen=True, kw_only=True)
class CleanAndMixed(AdversarialObjective):
    """(1 − w)·CE(clean images) + w·CE(attacked images), the attacks in turns."""

    attackers: Attackers
    weight: float

    def crafted(self, network: nn.Module, images: Tensor, labels: Tensor, epoch: Epoch) -> Tensor:
        return self.attackers.images(network, images, labels, epoch.generator)

    def loss_on(
        self, network: nn.Module, images: Tensor, crafted: Tensor, labels: Tensor, epoch: Epoch
    ) -> tuple[Tensor, Tensor]:
        clean, logits = class_logits(network(images)), class_logits(network(crafted))
        of_clean = weighted_cross_entropy(clean, labels, epoch.class_weights)
        of_crafted = weighted_cross_entropy(logits, labels, epoch.class_weights)
        return (1.0 - self.weight) * of_clean + self.weight * of_crafted, logits


def mixed_at(
    network: nn.Module,
    dataset: Dataset,
    *,
    device: torch.device | str,
    seed: int,
    monitor: Monitor | None = None,
    epochs: int = 20,
    batch_size: int = 64,
    optimizer: str = "adam",
    learning_rate: float = 1e-4,
    weight_decay: float = 1e-4,
    momentum: float = 0.9,
    schedule: str = "cosine",
    class_weights: str = "auto",
    patience: int | None = None,
    attacks: Sequence[Name] = ATTACKS,
    adversarial_weight: float = 0.5,
    epsilon: float = 0.03,
    steps: int = 10,
    step_size: float = 0.005,
    jsma_theta: float = 0.1,
    jsma_gamma: float = 0.14,
    jsma_steps: int = 10,
    jsma_pairs_per_step: int = 10,
    validation_steps: int = 10,
    awp: Mapping[str, float] | None = None,
) -> nn.Module:
    """Train `network` in place on clean and attacked images; see `robench.training.loop.train`.

    MedDef 2025, section 3.2.2: samples of FGSM, PGD, BIM and JSMA are combined with clean ones
    and the loss is over both. `attacks` take turns over the images of each batch. FGSM, PGD (from
    a random start) and BIM (from the image) have the L∞ radius `epsilon`, the latter two `steps`
    of `step_size`; for JSMA, towards the likeliest other class, see `robench.attacks.jsma`:
    `jsma_steps` and `jsma_pairs_per_step` bound what it may take, and an image that it does not
    break is trained on as it is. Robust accuracy on the validation split under PGD with
    `validation_steps` selects. `awp`: see `robench.training.awp`. The other parameters are those
    of `robench.training.settings.Settings`.
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
    check_positive("adversarial_weight", adversarial_weight, high=1.0)
    check_whole("validation_steps", validation_steps, low=1)

    def adversary(*, steps: int, step_size: float, random_start: bool) -> Adversary:
        return Adversary(epsilon=epsilon, step_size=step_size, steps=steps, norm="linf",
                         random_start=random_start)

    attackers = Attackers(
        turns=attacks,
        fgsm=adversary(steps=1, step_size=epsilon, random_start=False),
        pgd=adversary(steps=steps, step_size=step_size, random_start=True),
        bim=adversary(steps=steps, step_size=step_size, random_start=False),
        jsma=_jsma(theta=jsma_theta, gamma=jsma_gamma, max_steps=jsma_steps,
                   pairs_per_step=jsma_pairs_per_step),
    )
    objective = CleanAndMixed(
        validation=adversary(steps=validation_steps, step_size=step_size, random_start=True),
        awp=WeightPerturbation.of(awp),
        attackers=attackers,
        weight=adversarial_weight,
    )
    if "jsma" in attacks:
        _check_budget(jsma_gamma, dataset)
    return train(
        network, dataset, objective, settings=settings, device=device, seed=seed, monitor=monitor
    )


def _jsma(*, theta: float, gamma: float, max_steps: int, pairs_per_step: int) -> JSMA:
    try:
        return JSMA(theta=theta, gamma=gamma, max_steps=max_steps, pairs_per_step=pairs_per_step,
                    target="likeliest")
    except ValueError as error:
        raise UserError(f"parameter 'jsma_…' is not usable: {error}") from error


def _check_budget(gamma: float, dataset: Dataset) -> None:
    if dataset.train is None:
        return
    features = math.prod(dataset.train.images[:1].shape[1:])
    if gamma * features < 2:
        raise UserError("parameter 'jsma_gamma' is not usable", got=gamma,
                        expected=f"a share that is two of the {features} features or more")
