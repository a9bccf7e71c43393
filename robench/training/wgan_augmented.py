"""The recipe `wgan-augmented`: a classifier, a GAN of its attacked images, and both together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from robench.training.attack_gan import KINDS, AttackGan, GanKind
from robench.training.attack_gan_losses import attack_gan_loss
from robench.training.checks import check_choice, check_positive, check_whole
from robench.training.craft import Adversary
from robench.training.gan_losses import held
from robench.training.gaussian import NoisyImages
from robench.training.logits import class_logits, weighted_cross_entropy
from robench.training.loop import train
from robench.training.monitor import Monitor
from robench.training.objective import Epoch
from robench.training.phases import Phase, PhasedSettings
from robench.training.seeding import reproducible

if TYPE_CHECKING:
    from robench.data import Dataset

_BETAS = {"wgan": (0.0, 0.9), "dcgan": (0.5, 0.999), "gan": (0.5, 0.999)}
_CPU = torch.device("cpu")


class WithGan(nn.Module):
    """A classifier with the GAN of its training, which is no part of it afterwards."""

    def __init__(self, classifier: nn.Module, gan: AttackGan) -> None:
        super().__init__()
        self.classifier = classifier
        self.gan = gan

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(images)
        return logits


@dataclass(frozen=True, kw_only=True)
class AugmentedSettings(PhasedSettings):
    """Adam for all phases, for the GAN with its own β and without weight decay."""

    gan: AttackGan = field(repr=False, compare=False)

    def make_optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        of_gan = {id(weight) for weight in self.gan.parameters()}
        weights = list(parameters)
        groups: list[dict[str, Any]] = [
            {"params": [each for each in weights if id(each) not in of_gan],
             "weight_decay": self.weight_decay},
            {"params": [each for each in weights if id(each) in of_gan],
             "betas": _BETAS[self.gan.kind]},
        ]
        return torch.optim.Adam(
            [group for group in groups if group["params"]], lr=self.learning_rate_at(1), fused=True
        )


@dataclass(frozen=True, kw_only=True)
class Augmented:
    """The losses of the three phases; in the last, PGD on the validation images selects."""

    settings: AugmentedSettings
    fgsm: Adversary
    pgd: Adversary
    noise: NoisyImages
    validation: Adversary
    critic_steps: int

    def loss(
        self, network: nn.Module, images: Tensor, labels: Tensor, epoch: Epoch
    ) -> tuple[Tensor, Tensor]:
        assert isinstance(network, WithGan)
        classifier, gan = network.classifier, network.gan
        phase, _ = self.settings.at(epoch.number)
        if phase.name == "classifier":
            logits = class_logits(classifier(images))
            return weighted_cross_entropy(logits, labels, epoch.class_weights), logits
        fgsm, pgd, noisy = self.attacks(classifier, images, labels, epoch.generator)
        if phase.name == "gan":
            kind = torch.arange(len(images), device=images.device)[:, None, None, None] % 3
            real = torch.where(kind == 0, fgsm, torch.where(kind == 1, pgd, noisy))
            with held(classifier), torch.no_grad():
                logits = class_logits(classifier(real))
            return attack_gan_loss(
                gan, real, labels, critic_steps=self.critic_steps, generator=epoch.generator
            ), logits
        with held(gan), torch.no_grad():
            generated = gan.generate(labels, epoch.generator)
        whole = torch.cat([images, fgsm, pgd, noisy, generated])
        logits = class_logits(classifier(whole))
        loss = weighted_cross_entropy(logits, labels.repeat(5), epoch.class_weights)
        return loss, logits[: len(images)]

    def attacks(
        self, classifier: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """FGSM, PGD and noisy images of a batch, against the classifier as it stands."""
        return (
            self.fgsm.images(classifier, images, labels, generator),
            self.pgd.images(classifier, images, labels, generator),
            self.noise.noisy(images, generator),
        )

    def attacked(
        self, network: nn.Module, images: Tensor, labels: Tensor, epoch: Epoch
    ) -> Tensor | None:
        if epoch.number < self.settings.last_begins:
            return None
        return self.validation.images(network, images, labels, epoch.generator)


def wgan_augmented(
    network: nn.Module,
    dataset: Dataset,
    *,
    device: torch.device | str,
    seed: int,
    monitor: Monitor | None = None,
    classifier_epochs: int = 10,
    gan_epochs: int = 50,
    augmented_epochs: int = 10,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    gan_learning_rate: float = 1e-4,
    weight_decay: float = 1e-4,
    schedule: str = "cosine",
    class_weights: str = "auto",
    patience: int | None = None,
    generator: GanKind = "wgan",
    latent: int = 100,
    width: int = 64,
    resolution: int = 64,
    critic_steps: int = 5,
    epsilon: float = 8 / 255,
    steps: int = 7,
    step_size: float = 2 / 255,
    sigma: float = 0.1,
    validation_steps: int = 7,
) -> nn.Module:
    """Train `network` in place on clean, attacked and generated images; see `train`.

    Gopalakrishnan et al. 2025, sections 3.2 and 3.3: `classifier_epochs` on clean images;
    `gan_epochs` of a GAN, told the class, whose real images are the attacked ones (FGSM, PGD and
    noise in turns); `augmented_epochs` of the classifier on batches of clean, FGSM, PGD, noisy
    and generated images, as many of each. `generator`: "wgan" with gradient penalty, "dcgan" or
    "gan", see `AttackGan` and `attack_gan_loss`. Attacks have the L∞ radius `epsilon`, PGD
    `steps` of `step_size`, noise the standard deviation `sigma`. Only an epoch of the last phase
    can be kept: the one with the most validation images right before and after PGD with
    `validation_steps`. The GAN is dropped. The other parameters are those of
    `robench.training.settings.Settings`; the optimizer is Adam.
    """
    check_whole("classifier_epochs", classifier_epochs, low=1)
    check_whole("gan_epochs", gan_epochs, low=1)
    check_whole("augmented_epochs", augmented_epochs, low=1)
    check_positive("gan_learning_rate", gan_learning_rate)
    check_choice("generator", generator, KINDS)
    check_whole("critic_steps", critic_steps, low=1)
    check_positive("sigma", sigma)
    check_whole("validation_steps", validation_steps, low=1)
    pgd = Adversary(
        epsilon=epsilon, step_size=step_size, steps=steps, norm="linf", random_start=True
    )
    with reproducible(_CPU, seed, "gan"):
        gan = AttackGan(
            generator, num_classes=dataset.num_classes, in_channels=dataset.in_channels,
            image_size=dataset.image_size, latent=latent, width=width, resolution=resolution,
        )
    settings = AugmentedSettings.of(
        [
            Phase(name="classifier", epochs=classifier_epochs, learning_rate=learning_rate),
            Phase(name="gan", epochs=gan_epochs, learning_rate=gan_learning_rate),
            Phase(name="augmented", epochs=augmented_epochs, learning_rate=learning_rate),
        ],
        gan=gan, batch_size=batch_size, optimizer="adam", learning_rate=learning_rate,
        weight_decay=weight_decay, momentum=0.0, schedule=schedule, class_weights=class_weights,
        patience=patience,
    )
    objective = Augmented(
        settings=settings,
        fgsm=replace(pgd, steps=1, step_size=epsilon, random_start=False),
        pgd=pgd,
        noise=NoisyImages(sigma=sigma, clip=True),
        validation=replace(pgd, steps=validation_steps),
        critic_steps=critic_steps,
    )
    train(
        WithGan(network, gan), dataset, objective, settings=settings, device=device, seed=seed,
        monitor=monitor, select_from=settings.last_begins,
    )
    return network
