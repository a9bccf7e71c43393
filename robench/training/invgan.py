"""The recipe `invgan`: a GAN, then an encoder that inverts it, then the classifier behind both."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from robench.errors import UserError
from robench.models.invgan import InvGan
from robench.training.checks import (
    check_choice,
    check_not_negative,
    check_positive,
    check_whole,
)
from robench.training.gan_losses import gan_loss, held, inversion_loss
from robench.training.logits import class_logits, weighted_cross_entropy
from robench.training.loop import train
from robench.training.monitor import Monitor
from robench.training.objective import Epoch
from robench.training.settings import Settings

if TYPE_CHECKING:
    from robench.data import Dataset

Phase = Literal["gan", "encoder", "classifier"]
ClassifierImages = Literal["projected", "original"]

CLASSIFIER_IMAGES: tuple[ClassifierImages, ...] = ("projected", "original")
_GAN_BETAS = (0.5, 0.999)


@dataclass(frozen=True, kw_only=True)
class Phases:
    """How many epochs each part is trained for, one part after the other.

    None for the GAN or the encoder leaves them as they arrive, as from a checkpoint.
    """

    gan: int
    encoder: int
    classifier: int

    def __post_init__(self) -> None:
        check_whole("gan_epochs", self.gan, low=0)
        check_whole("encoder_epochs", self.encoder, low=0)
        check_whole("classifier_epochs", self.classifier, low=1)

    @property
    def before_classifier(self) -> int:
        return self.gan + self.encoder

    @property
    def total(self) -> int:
        return self.before_classifier + self.classifier

    def of(self, epoch: int) -> Phase:
        """The phase of `epoch`, from 1."""
        if epoch <= self.gan:
            return "gan"
        return "encoder" if epoch <= self.before_classifier else "classifier"


@dataclass(frozen=True, kw_only=True)
class InvGanSettings(Settings):
    """Settings of a training in `phases`.

    The learning rate is constant in the first two; the inherited rate, schedule and weight decay
    are the classifier's. Adam's β₁ is 0.5 for all parts but the classifier.
    """

    network: InvGan = field(repr=False, compare=False)
    phases: Phases
    gan_learning_rate: float
    encoder_learning_rate: float

    def __post_init__(self) -> None:
        check_positive("gan_learning_rate", self.gan_learning_rate)
        check_positive("encoder_learning_rate", self.encoder_learning_rate)
        super().__post_init__()

    def learning_rate_at(self, epoch: int) -> float:
        phase = self.phases.of(epoch)
        if phase == "gan":
            return self.gan_learning_rate
        if phase == "encoder":
            return self.encoder_learning_rate
        inherited = {each.name: getattr(self, each.name) for each in fields(Settings)}
        alone = Settings(**{**inherited, "epochs": self.phases.classifier})
        return alone.learning_rate_at(epoch - self.phases.before_classifier)

    def make_optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Adam for all phases: it passes by the weights that a phase gives no gradient."""
        weights = list(parameters)
        of_classifier = {id(weight) for weight in self.network.classifier.parameters()}
        classifier = [weight for weight in weights if id(weight) in of_classifier]
        gan = [weight for weight in weights if id(weight) not in of_classifier]
        groups = [
            {"params": gan, "betas": _GAN_BETAS, "weight_decay": 0.0},
            {"params": classifier, "weight_decay": self.weight_decay},
        ]
        return torch.optim.Adam(
            [group for group in groups if group["params"]], lr=self.learning_rate_at(1), fused=True
        )


@dataclass(frozen=True, kw_only=True)
class InvertAndDefend:
    """The losses of the three phases; clean validation accuracy selects.

    In the first two the logits are those of the network as it stands, in eval mode.
    """

    phases: Phases
    latent_weight: float
    image_weight: float
    image_margin: float
    classifier_images: ClassifierImages

    def __post_init__(self) -> None:
        check_not_negative("latent_weight", self.latent_weight)
        check_not_negative("image_weight", self.image_weight)
        check_not_negative("image_margin", self.image_margin)
        check_choice("classifier_images", self.classifier_images, CLASSIFIER_IMAGES)

    def loss(
        self, network: nn.Module, images: Tensor, labels: Tensor, epoch: Epoch
    ) -> tuple[Tensor, Tensor]:
        whole = fitting(network)
        phase = self.phases.of(epoch.number)
        if phase == "classifier":
            if self.classifier_images == "projected":
                with held(whole.encoder), held(whole.generator), torch.no_grad():
                    images = whole.project(images)
            logits = class_logits(whole.classifier(images))
            return weighted_cross_entropy(logits, labels, epoch.class_weights), logits
        with held(whole), torch.no_grad():
            logits = class_logits(whole(images))
        latents = torch.randn(
            len(images), whole.latent, generator=epoch.generator, device=images.device
        )
        if phase == "gan":
            return gan_loss(whole, images, latents), logits
        loss = inversion_loss(
            whole, latents, latent_weight=self.latent_weight, image_weight=self.image_weight,
            image_margin=self.image_margin,
        )
        return loss, logits

    def attacked(self, *_: object) -> None:
        return None


def fitting(network: nn.Module) -> InvGan:
    """`network`, if it has the parts that are trained here. Raises UserError otherwise."""
    if not isinstance(network, InvGan):
        raise UserError(
            "recipe 'invgan' trains a generator, a critic, an encoder and a classifier",
            got=type(network).__name__,
            expected="the model invgan-resnet34, or another robench.models.invgan.InvGan",
        )
    return network


def invgan(
    network: nn.Module,
    dataset: Dataset,
    *,
    device: torch.device | str,
    seed: int,
    monitor: Monitor | None = None,
    gan_epochs: int = 100,
    encoder_epochs: int = 50,
    classifier_epochs: int = 20,
    batch_size: int = 64,
    gan_learning_rate: float = 2e-4,
    encoder_learning_rate: float = 2e-4,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-4,
    schedule: str = "cosine",
    class_weights: str = "auto",
    patience: int | None = None,
    latent_weight: float = 1.0,
    image_weight: float = 100.0,
    image_margin: float = 0.02,
    classifier_images: ClassifierImages = "projected",
) -> nn.Module:
    """Train the parts of an `InvGan` in place, one after the other; see `train`.

    Lin, Balaji, Samangouei, Chellappa 2019 (arXiv 1911.10291): `gan_epochs` of generator and
    critic on the training images (`gan_loss`), `encoder_epochs` of the encoder on generated
    images alone (`inversion_loss`), `classifier_epochs` of the classifier on `classifier_images`.
    Only an epoch of the last phase can be the one that is kept. The other parameters are those
    of `robench.training.settings.Settings`, of the classifier. Raises UserError for a network
    without these parts.
    """
    phases = Phases(gan=gan_epochs, encoder=encoder_epochs, classifier=classifier_epochs)
    settings = InvGanSettings(
        network=fitting(network),
        phases=phases,
        gan_learning_rate=gan_learning_rate,
        encoder_learning_rate=encoder_learning_rate,
        epochs=phases.total,
        batch_size=batch_size,
        optimizer="adam",
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        momentum=0.0,
        schedule=schedule,
        class_weights=class_weights,
        patience=patience,
    )
    objective = InvertAndDefend(
        phases=phases,
        latent_weight=latent_weight,
        image_weight=image_weight,
        image_margin=image_margin,
        classifier_images=classifier_images,
    )
    return train(
        network, dataset, objective, settings=settings, device=device, seed=seed,
        monitor=monitor, select_from=phases.before_classifier + 1,
    )
