"""The recipe `distillation`: a teacher at a temperature, then a student of what it says."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from robench.training.checks import check_positive, check_whole
from robench.training.gan_losses import held
from robench.training.logits import class_logits, weighted_cross_entropy
from robench.training.loop import train
from robench.training.monitor import Monitor
from robench.training.objective import Epoch
from robench.training.phases import Phase, PhasedSettings

if TYPE_CHECKING:
    from robench.data import Dataset


class WithTeacher(nn.Module):
    """A student with its teacher, which is part of the training's state and not of the network."""

    def __init__(self, student: nn.Module, teacher: nn.Module) -> None:
        super().__init__()
        self.student = student
        self.teacher = teacher

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.student(images)
        return logits


def soft_cross_entropy(
    logits: Tensor, wanted: Tensor, labels: Tensor, weights: Tensor | None
) -> Tensor:
    """The mean of −weight(label) · Σ wanted_k · log softmax(logits)_k, both N×K."""
    each = functional.cross_entropy(logits, wanted, reduction="none")
    return (each if weights is None else each * weights[labels]).mean()


@dataclass(frozen=True, kw_only=True)
class TeachThenDistil:
    """Cross-entropy of both networks' logits over the temperature, first the teacher's.

    Of the teacher with the labels, of the student with what the teacher says of the images at
    the same temperature, in eval mode.
    """

    settings: PhasedSettings
    temperature: float

    def loss(
        self, network: nn.Module, images: Tensor, labels: Tensor, epoch: Epoch
    ) -> tuple[Tensor, Tensor]:
        assert isinstance(network, WithTeacher)
        phase, _ = self.settings.at(epoch.number)
        if phase.name == "teacher":
            logits = class_logits(network.teacher(images)) / self.temperature
            return weighted_cross_entropy(logits, labels, epoch.class_weights), logits
        with held(network.teacher), torch.no_grad():
            wanted = (class_logits(network.teacher(images)) / self.temperature).softmax(dim=1)
        logits = class_logits(network.student(images)) / self.temperature
        return soft_cross_entropy(logits, wanted, labels, epoch.class_weights), logits

    def attacked(self, *_: object) -> None:
        return None


def distillation(
    network: nn.Module,
    dataset: Dataset,
    *,
    device: torch.device | str,
    seed: int,
    monitor: Monitor | None = None,
    teacher_epochs: int = 20,
    student_epochs: int = 20,
    batch_size: int = 64,
    optimizer: str = "adam",
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-4,
    momentum: float = 0.9,
    schedule: str = "cosine",
    class_weights: str = "auto",
    patience: int | None = None,
    temperature: float = 20.0,
) -> nn.Module:
    """Train `network` in place by defensive distillation; see `robench.training.loop.train`.

    Papernot, McDaniel, Wu, Jha, Swami 2016 (arXiv 1511.04508), section IV: a teacher of the same
    architecture is trained for `teacher_epochs` on the labels, its logits divided by
    `temperature`; then the student for `student_epochs` on the probabilities the teacher gives at
    that temperature, its own logits divided by it too. Afterwards nothing is divided, and the
    teacher is dropped. Both begin at the weights that `network` comes with. Only an epoch of the
    student can be kept, the one with the best clean validation accuracy. The other parameters
    are those of `robench.training.settings.Settings`.
    """
    check_positive("temperature", temperature)
    check_whole("teacher_epochs", teacher_epochs, low=1)
    check_whole("student_epochs", student_epochs, low=1)
    settings = PhasedSettings.of(
        [
            Phase(name="teacher", epochs=teacher_epochs, learning_rate=learning_rate),
            Phase(name="student", epochs=student_epochs, learning_rate=learning_rate),
        ],
        batch_size=batch_size,
        optimizer=optimizer,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        momentum=momentum,
        schedule=schedule,
        class_weights=class_weights,
        patience=patience,
    )
    objective = TeachThenDistil(settings=settings, temperature=temperature)
    train(
        WithTeacher(network, copy.deepcopy(network)), dataset, objective, settings=settings,
        device=device, seed=seed, monitor=monitor, select_from=settings.last_begins,
    )
    return network
