"""The recipe `denoiser`: a classifier, then a denoiser in front of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from robench.errors import UserError
from robench.freezing import frozen
from robench.training.batches import to_pixels
from robench.training.checks import check_choice, check_positive, check_whole
from robench.training.craft import craft
from robench.training.logits import class_logits, weighted_cross_entropy
from robench.training.loop import train
from robench.training.monitor import Monitor
from robench.training.objective import Epoch
from robench.training.phases import Phase, PhasedSettings

if TYPE_CHECKING:
    from robench.data import Dataset

Kind = Literal["fgsm", "gaussian"]
CORRUPTIONS: tuple[Kind, ...] = ("fgsm", "gaussian")

EPSILONS = (1 / 255, 2 / 255, 4 / 255, 6 / 255, 8 / 255)
"""Muoka et al. 2023, table 3, the column of the auto-encoder: 1, 2, 4, 6, 8."""


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """What a denoiser learns to undo.

    "fgsm": one step of a size in `epsilons` along the sign of the classifier's gradient.
    "gaussian": noise with one of them as its standard deviation. Both are cut to [0,1]. Raises
    UserError naming the first parameter that is not usable.
    """

    kind: Kind
    epsilons: Sequence[float]

    def __post_init__(self) -> None:
        check_choice("corruption", self.kind, CORRUPTIONS)
        if not isinstance(self.epsilons, (list, tuple)) or not self.epsilons:
            raise UserError("parameter 'epsilons' is not usable", got=self.epsilons,
                            expected="a list of numbers above 0 and not above 1")
        for epsilon in self.epsilons:
            check_positive("epsilons", epsilon, high=1.0)

    def drawn(self) -> float:
        """One of the sizes, by torch's global generator on the CPU."""
        return self.epsilons[int(torch.randint(len(self.epsilons), (), device="cpu"))]

    def images(
        self, classifier: nn.Module, images: Tensor, labels: Tensor, *, epsilon: float,
        generator: torch.Generator,
    ) -> Tensor:
        """Corrupted `images` (float32 N×C×H×W in [0,1]); FGSM sees the bare `classifier`."""
        if self.kind == "gaussian":
            noise = torch.empty_like(images).normal_(std=epsilon, generator=generator)
            return (images + noise).clamp(0.0, 1.0)
        return craft(
            classifier, images, labels, epsilon=epsilon, step_size=epsilon, steps=1,
            norm="linf", random_start=False, generator=generator,
        )


def denoising_loss(
    denoiser: nn.Module, classifier: nn.Module, corrupted: Tensor, images: Tensor
) -> tuple[Tensor, Tensor]:
    """(mean squared error of the denoised `corrupted` images, logits of the frozen classifier)."""
    restored = denoiser(corrupted)
    with frozen(classifier), torch.no_grad():
        logits = class_logits(classifier(restored))
    return functional.mse_loss(restored, images), logits


def denoised(denoiser: nn.Module, images: Tensor) -> Tensor:
    """`images` behind the denoiser as it is at run time; its weights and buffers stay."""
    with frozen(denoiser), torch.no_grad():
        pixels: Tensor = denoiser(images)
    return pixels


@dataclass(frozen=True, kw_only=True)
class ThenDenoise:
    """Cross-entropy of the bare classifier, the denoiser's squared error, cross-entropy again.

    From the second phase on, the validation images with the largest corruption select.
    """

    settings: PhasedSettings
    corruption: Corruption

    def loss(
        self, network: nn.Module, images: Tensor, labels: Tensor, epoch: Epoch
    ) -> tuple[Tensor, Tensor]:
        denoiser, classifier = parts(network)
        phase, _ = self.settings.at(epoch.number)
        if phase.name == "denoiser":
            corrupted = self.corruption.images(
                classifier, images, labels, epsilon=self.corruption.drawn(),
                generator=epoch.generator,
            )
            return denoising_loss(denoiser, classifier, corrupted, images)
        if phase.name == "fine-tuning":
            images = denoised(denoiser, images)
        logits = class_logits(classifier(images))
        return weighted_cross_entropy(logits, labels, epoch.class_weights), logits

    def attacked(
        self, network: nn.Module, images: Tensor, labels: Tensor, epoch: Epoch
    ) -> Tensor | None:
        phase, _ = self.settings.at(epoch.number)
        if phase.name == "classifier":
            return None
        _, classifier = parts(network)
        return self.corruption.images(
            classifier, images, labels, epsilon=max(self.corruption.epsilons),
            generator=epoch.generator,
        )


def parts(network: nn.Module) -> tuple[nn.Module, nn.Module]:
    """The `denoiser` and the `classifier` of a network. Raises UserError where one is missing."""
    found = getattr(network, "denoiser", None), getattr(network, "classifier", None)
    denoiser, classifier = found
    if not isinstance(denoiser, nn.Module) or not isinstance(classifier, nn.Module):
        raise UserError(
            "recipe 'denoiser' trains a network with a `denoiser` in front of a `classifier`",
            got=type(network).__name__,
            expected="one of the models autoencoder-resnet34, aebs",
        )
    return denoiser, classifier


def check_denoises(denoiser: nn.Module, dataset: Dataset) -> None:
    """Raise UserError unless `denoiser` gives back images of the training images' shape."""
    split = dataset.train
    if split is None or len(split) == 0:
        return  # which the training itself tells
    first = next(iter([*denoiser.parameters(), *denoiser.buffers()]), torch.zeros(0))
    images = to_pixels(split.images[:2], first.device)
    expected = "a denoiser of the data set's image size and number of channels"
    try:
        restored = denoised(denoiser, images)
    except RuntimeError as error:  # how torch tells that shapes do not fit
        raise UserError("the denoiser does not take the images of the data set",
                        got=list(images.shape[1:]), expected=expected) from error
    if restored.shape != images.shape:
        raise UserError(f"the denoiser makes images of another shape of {list(images.shape[1:])}",
                        got=list(restored.shape[1:]), expected=expected)


def denoiser(
    network: nn.Module,
    dataset: Dataset,
    *,
    device: torch.device | str,
    seed: int,
    monitor: Monitor | None = None,
    classifier_epochs: int = 20,
    denoiser_epochs: int = 20,
    fine_tune_epochs: int = 5,
    batch_size: int = 64,
    optimizer: str = "adam",
    learning_rate: float = 1e-3,
    denoiser_learning_rate: float = 2e-3,
    fine_tune_learning_rate: float = 1e-4,
    weight_decay: float = 1e-4,
    momentum: float = 0.9,
    schedule: str = "cosine",
    class_weights: str = "auto",
    patience: int | None = None,
    corruption: Kind = "fgsm",
    epsilons: Sequence[float] = EPSILONS,
) -> nn.Module:
    """Train a network of `denoiser` and `classifier` in place; see `robench.training.loop.train`.

    `classifier_epochs` of the classifier on clean images, the denoiser passed by; then
    `denoiser_epochs` of the denoiser alone, from corrupted to clean images by their mean squared
    error, one of `epsilons` drawn for each batch (Muoka et al. 2023, section 4: FGSM images,
    Adam at 2e-3; see `Corruption`); then `fine_tune_epochs` of the classifier on clean images
    behind the denoiser, which stays as it is. Only an epoch of the last phase can be kept: the
    one with the most validation images right before and after the largest corruption. The other
    parameters are those of `robench.training.settings.Settings`. Raises UserError for a network
    without these parts, and for a denoiser of other images.
    """
    front, _ = parts(network)
    check_whole("classifier_epochs", classifier_epochs, low=0)
    check_whole("denoiser_epochs", denoiser_epochs, low=1)
    check_whole("fine_tune_epochs", fine_tune_epochs, low=0)
    check_positive("denoiser_learning_rate", denoiser_learning_rate)
    check_positive("fine_tune_learning_rate", fine_tune_learning_rate)
    settings = PhasedSettings.of(
        [
            Phase(name="classifier", epochs=classifier_epochs, learning_rate=learning_rate),
            Phase(name="denoiser", epochs=denoiser_epochs, learning_rate=denoiser_learning_rate),
            Phase(name="fine-tuning", epochs=fine_tune_epochs,
                  learning_rate=fine_tune_learning_rate),
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
    objective = ThenDenoise(
        settings=settings, corruption=Corruption(kind=corruption, epsilons=epsilons)
    )
    check_denoises(front, dataset)
    return train(
        network, dataset, objective, settings=settings, device=device, seed=seed,
        monitor=monitor, select_from=settings.last_begins,
    )
