"""The recipe `meddef-at`: clean and PGD images, in the three phases of MedDef."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from robench.training.adversarial import AdversarialObjective
from robench.training.awp import WeightPerturbation
from robench.training.checks import check_positive, check_whole
from robench.training.craft import Adversary
from robench.training.logits import class_logits, weighted_cross_entropy
from robench.training.loop import train
from robench.training.meddef_schedule import SafetyRule, Schedule
from robench.training.monitor import Monitor
from robench.training.objective import Epoch, Verdict
from robench.training.settings import Settings
from robench.training.validation import Measurement

if TYPE_CHECKING:
    from robench.data import Dataset

_STEP_SHARE = 6.0


@dataclass(frozen=True, kw_only=True)
class CleanAndPgd(AdversarialObjective):
    """(1 − w)·CE(clean) + w·CE(PGD images), radius and w by the schedule and the safety rule."""

    schedule: Schedule
    safety: SafetyRule
    steps: int
    step_limit: float

    def adversary(self, epoch: Epoch) -> Adversary:
        """PGD of this epoch: a step is a sixth of the radius, not above the limit."""
        epsilon = self.schedule.at(epoch.number)[0] * self.safety.scale(epoch.history)
        return pgd(epsilon, steps=self.steps, step_limit=self.step_limit)

    def weight(self, epoch: Epoch) -> float:
        """The weight w of the adversarial images in this epoch."""
        return self.schedule.at(epoch.number)[1] * self.safety.scale(epoch.history)

    def crafted(self, network: nn.Module, images: Tensor, labels: Tensor, epoch: Epoch) -> Tensor:
        return self.adversary(epoch).images(network, images, labels, epoch.generator)

    def loss_on(
        self, network: nn.Module, images: Tensor, crafted: Tensor, labels: Tensor, epoch: Epoch
    ) -> tuple[Tensor, Tensor]:
        weight = self.weight(epoch)
        clean, logits = class_logits(network(images)), class_logits(network(crafted))
        of_clean = weighted_cross_entropy(clean, labels, epoch.class_weights)
        of_crafted = weighted_cross_entropy(logits, labels, epoch.class_weights)
        return (1.0 - weight) * of_clean + weight * of_crafted, logits

    def verdict(
        self, network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], found: Measurement,
        epoch: Epoch,
    ) -> Verdict | None:
        """Tells an epoch that the safety rule has eased."""
        times = self.safety.steps(epoch.history)
        if times == 0 or self.safety.factor == 1:
            return None
        return Verdict(remark=(
            f"validation had degraded: epsilon {self.adversary(epoch).epsilon:.4f}, "
            f"weight {self.weight(epoch):.3f} (× {self.safety.scale(epoch.history):.2f})"
        ))


def pgd(epsilon: float, *, steps: int, step_limit: float) -> Adversary:
    """MedDef's PGD at a radius: steps of min(`epsilon` / 6, `step_limit`)."""
    return Adversary(
        epsilon=epsilon, step_size=min(epsilon / _STEP_SHARE, step_limit), steps=steps,
        norm="linf", random_start=True,
    )


def meddef_at(
    network: nn.Module,
    dataset: Dataset,
    *,
    device: torch.device | str,
    seed: int,
    monitor: Monitor | None = None,
    epochs: int = 100,
    batch_size: int = 32,
    optimizer: str = "adam",
    learning_rate: float = 1e-4,
    weight_decay: float = 1e-4,
    momentum: float = 0.9,
    schedule: str = "constant",
    class_weights: str = "auto",
    patience: int | None = None,
    warm_up_epochs: int = 8,
    aggressive_epochs: int = 15,
    warm_up_epsilons: Sequence[float] = (0.01, 0.02),
    aggressive_epsilons: Sequence[float] = (0.02, 0.04),
    stabilization_epsilon: float = 0.03,
    adversarial_weights: Sequence[float] = (0.2, 0.5),
    steps: int = 40,
    step_limit: float = 0.003,
    safety_tolerance: float = 0.05,
    safety_factor: float = 0.8,
    validation_steps: int = 20,
    awp: Mapping[str, float] | None = None,
) -> nn.Module:
    """Train `network` in place as MedDef is; see `robench.training.loop.train`.

    MedDef 2025, section 3.8: the loss is (1 − w)·CE on clean and w·CE on PGD images, in three
    phases, see `Schedule`; `steps` of min(ε/6, `step_limit`). Where validation degrades, radius
    and weight are eased, see `SafetyRule`. Robust accuracy on the validation split at
    `stabilization_epsilon`, under `validation_steps` of the same attack, selects among all
    epochs. `awp`: see `robench.training.awp`. The other parameters are those of
    `robench.training.settings.Settings`. Raises UserError for phases that are longer than
    `epochs`, and for a radius above 1.
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
    check_positive("step_limit", step_limit)
    check_whole("steps", steps, low=1)
    check_whole("validation_steps", validation_steps, low=1)
    phases = Schedule(
        epochs=epochs,
        warm_up_epochs=warm_up_epochs,
        aggressive_epochs=aggressive_epochs,
        warm_up_epsilons=warm_up_epsilons,
        aggressive_epsilons=aggressive_epsilons,
        stabilization_epsilon=stabilization_epsilon,
        adversarial_weights=adversarial_weights,
    )
    objective = CleanAndPgd(
        validation=pgd(stabilization_epsilon, steps=validation_steps, step_limit=step_limit),
        awp=WeightPerturbation.of(awp),
        schedule=phases,
        safety=SafetyRule(tolerance=safety_tolerance, factor=safety_factor),
        steps=steps,
        step_limit=step_limit,
    )
    return train(
        network, dataset, objective, settings=settings, device=device, seed=seed, monitor=monitor
    )
