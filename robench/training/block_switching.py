"""The recipe `block-switching`: sub-models, a denoiser, then the switched classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from robench.errors import UserError
from robench.models.autoencoder import DenoisedClassifier
from robench.models.block_switching import SwitchedClassifier
from robench.training.checks import check_positive, check_whole
from robench.training.denoiser import (
    EPSILONS,
    Corruption,
    Kind,
    check_denoises,
    denoised,
    denoising_loss,
)
from robench.training.logits import class_logits, weighted_cross_entropy
from robench.training.loop import train
from robench.training.monitor import Monitor
from robench.training.objective import Epoch
from robench.training.phases import Phase, PhasedSettings
from robench.training.seeding import reproducible

if TYPE_CHECKING:
    from robench.data import Dataset

_SUB_MODEL = "sub-model "
_CPU = torch.device("cpu")


class WithUppers(nn.Module):
    """A network while it is trained, with the upper parts its sub-models have meanwhile.

    They are part of the state of the training, so that it can be taken up again, and not of the
    network: afterwards they are dropped, as Wang et al. 2020 do.
    """

    def __init__(self, network: DenoisedClassifier, uppers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.network = network
        self.uppers = nn.ModuleList(uppers)

    @property
    def switched(self) -> SwitchedClassifier:
        return fitting(self.network)[1]

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return logits

    def sub_model(self, number: int) -> nn.Module:
        """Channel `number` under its own upper part: pixels to logits."""
        return self.switched.through(number, self.uppers[number])


@dataclass(frozen=True, kw_only=True)
class SubModelsThenSwitch:
    """The losses of the phases; in the last, validation images with the largest corruption select.

    A sub-model: its cross-entropy on clean images. The denoiser: its squared error, FGSM against
    a sub-model drawn for each batch. The switched classifier: its cross-entropy on clean images
    behind the denoiser, a channel drawn for each batch, which alone is trained with the upper.
    """

    settings: PhasedSettings
    corruption: Corruption

    def loss(
        self, network: nn.Module, images: Tensor, labels: Tensor, epoch: Epoch
    ) -> tuple[Tensor, Tensor]:
        whole = _whole(network)
        phase, _ = self.settings.at(epoch.number)
        if phase.name == "denoiser":
            drawn = whole.sub_model(int(torch.randint(len(whole.uppers), (), device=_CPU)))
            corrupted = self.corruption.images(
                drawn, images, labels, epsilon=self.corruption.drawn(), generator=epoch.generator
            )
            return denoising_loss(whole.network.denoiser, drawn, corrupted, images)
        if phase.name == "switching":
            logits = class_logits(whole.switched(denoised(whole.network.denoiser, images)))
        else:
            number = int(phase.name.removeprefix(_SUB_MODEL))
            logits = class_logits(whole.sub_model(number)(images))
        return weighted_cross_entropy(logits, labels, epoch.class_weights), logits

    def attacked(
        self, network: nn.Module, images: Tensor, labels: Tensor, epoch: Epoch
    ) -> Tensor | None:
        if self.settings.at(epoch.number)[0].name != "switching":
            return None
        return self.corruption.images(
            _whole(network).switched, images, labels, epsilon=max(self.corruption.epsilons),
            generator=epoch.generator,
        )


def fitting(network: nn.Module) -> tuple[DenoisedClassifier, SwitchedClassifier]:
    """`network` and its switched classifier. Raises UserError for another network."""
    if isinstance(network, DenoisedClassifier) and isinstance(
        network.classifier, SwitchedClassifier
    ):
        return network, network.classifier
    raise UserError(
        "recipe 'block-switching' trains a denoiser and a classifier of switched channels",
        got=type(network).__name__, expected="the model aebs",
    )


def block_switching(
    network: nn.Module,
    dataset: Dataset,
    *,
    device: torch.device | str,
    seed: int,
    monitor: Monitor | None = None,
    sub_model_epochs: int = 10,
    denoiser_epochs: int = 10,
    switching_epochs: int = 5,
    batch_size: int = 64,
    optimizer: str = "adam",
    learning_rate: float = 1e-3,
    denoiser_learning_rate: float = 2e-3,
    switching_learning_rate: float = 1e-3,
    weight_decay: float = 1e-4,
    momentum: float = 0.9,
    schedule: str = "cosine",
    class_weights: str = "auto",
    patience: int | None = None,
    corruption: Kind = "fgsm",
    epsilons: Sequence[float] = EPSILONS,
) -> nn.Module:
    """Train a network of the model `aebs` in place; see `robench.training.loop.train`.

    Wang et al. 2020 (arXiv 2002.07920), section 3.1, and Muoka et al. 2023, section 4:
    `sub_model_epochs` of each sub-model, one after the other, with an upper part of its own;
    `denoiser_epochs` of the denoiser, from corrupted to clean images (see `Corruption`); then
    the sub-models' upper parts are dropped, and channels and shared upper part are trained for
    `switching_epochs` behind the denoiser, which stays as it is. Only an epoch of the last phase
    can be kept: the one with the most validation images right before and after the largest
    corruption. The other parameters are those of `robench.training.settings.Settings`. Raises
    UserError for another network, and for a denoiser of other images.
    """
    whole, classifier = fitting(network)
    check_whole("sub_model_epochs", sub_model_epochs, low=1)
    check_whole("denoiser_epochs", denoiser_epochs, low=1)
    check_whole("switching_epochs", switching_epochs, low=1)
    check_positive("denoiser_learning_rate", denoiser_learning_rate)
    check_positive("switching_learning_rate", switching_learning_rate)
    settings = PhasedSettings.of(
        [
            *(Phase(name=f"{_SUB_MODEL}{number}", epochs=sub_model_epochs,
                    learning_rate=learning_rate)
              for number in range(len(classifier.channels))),
            Phase(name="denoiser", epochs=denoiser_epochs, learning_rate=denoiser_learning_rate),
            Phase(name="switching", epochs=switching_epochs,
                  learning_rate=switching_learning_rate),
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
    objective = SubModelsThenSwitch(
        settings=settings, corruption=Corruption(kind=corruption, epsilons=epsilons)
    )
    check_denoises(whole.denoiser, dataset)
    with reproducible(_CPU, seed, "uppers"):
        uppers = [classifier.new_upper() for _ in classifier.channels]
    train(
        WithUppers(whole, uppers), dataset, objective, settings=settings, device=device,
        seed=seed, monitor=monitor, select_from=settings.last_begins,
    )
    return network


def _whole(network: nn.Module) -> WithUppers:
    assert isinstance(network, WithUppers)
    return network
