"""Networks that make adversarial images of a class, and tell them from real ones."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from robench.models.dcgan import Canvas, Critic, Generator, resize
from robench.training.checks import check_whole

GanKind = Literal["wgan", "dcgan", "gan"]
KINDS: tuple[GanKind, ...] = get_args(GanKind)


class AttackGan(nn.Module):
    """A generator and a critic that are told the class of an image (Mirza & Osindero 2014).

    The class goes into the generator as a unit vector behind the latent, and into the critic as
    one constant map for each class behind the channels. "wgan": convolutions, a critic without
    normalisation, as its gradient penalty wants it; "dcgan": convolutions, a critic with spectral
    normalisation; "gan": fully connected layers in both. `updates` counts the critic's updates.
    Raises UserError naming the setting that is not usable.
    """

    updates: Tensor

    def __init__(
        self, kind: GanKind, *, num_classes: int, in_channels: int, image_size: tuple[int, int],
        latent: int, width: int, resolution: int,
    ) -> None:
        super().__init__()
        check_whole("latent", latent, low=1)
        check_whole("width", width, low=1)
        canvas = Canvas.of(image_size, resolution=resolution)
        told, seen = latent + num_classes, in_channels + num_classes
        self.kind: GanKind = kind
        self.latent = latent
        self.num_classes = num_classes
        if kind == "gan":
            self.generator: nn.Module = _dense_generator(canvas, told, in_channels, 8 * width)
            self.critic: nn.Module = _dense_critic(canvas, seen, 8 * width)
        else:
            self.generator = Generator(canvas, in_channels=in_channels, latent=told, width=width)
            self.critic = Critic(canvas, in_channels=seen, width=width, spectral=kind == "dcgan")
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def generate(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """An image N×C×H×W in [0,1] of each of the `labels` int64 N; latents are drawn."""
        latents = torch.randn(
            len(labels), self.latent, generator=generator, device=labels.device
        )
        images: Tensor = self.generator(torch.cat([latents, self._unit(labels)], dim=1))
        return images

    def scores(self, images: Tensor, labels: Tensor) -> Tensor:
        """How real `images` N×C×H×W of the `labels` look to the critic, N."""
        maps = self._unit(labels)[:, :, None, None].expand(-1, -1, *images.shape[-2:])
        scores: Tensor = self.critic(torch.cat([images, maps], dim=1))
        return scores

    def _unit(self, labels: Tensor) -> Tensor:
        return functional.one_hot(labels, self.num_classes).float()


def _dense_generator(canvas: Canvas, told: int, channels: int, hidden: int) -> nn.Module:
    height, width = canvas.size
    return nn.Sequential(
        nn.Linear(told, hidden), nn.ReLU(),
        nn.Linear(hidden, hidden), nn.ReLU(),
        nn.Linear(hidden, channels * height * width), nn.Sigmoid(),
        nn.Unflatten(1, (channels, height, width)), resize(canvas.size, canvas.image_size),
    )


def _dense_critic(canvas: Canvas, channels: int, hidden: int) -> nn.Module:
    height, width = canvas.size
    return nn.Sequential(
        resize(canvas.image_size, canvas.size), nn.Flatten(),
        nn.Linear(channels * height * width, hidden), nn.LeakyReLU(0.2),
        nn.Linear(hidden, hidden), nn.LeakyReLU(0.2),
        nn.Linear(hidden, 1), nn.Flatten(0),
    )
