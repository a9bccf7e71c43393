"""Losses of a GAN and of an encoder that inverts it: one backward pass for all that moves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from robench.models.invgan import InvGan


def gan_loss(network: InvGan, images: Tensor, latents: Tensor) -> Tensor:
    """The hinge losses of critic and generator, summed, for `images` N×C×H×W and `latents` N×L.

    Critic: mean max(0, 1 − D(x)) + mean max(0, 1 + D(G(z))); generator: −mean D(G(z))
    (Lim & Ye 2017, arXiv 1705.02894; Miyato et al. 2018). No weight is in both graphs: the
    critic sees generated images as constants and the generator sees the critic's weights as
    constants, so one backward pass gives each its own gradient. Both are updated at once.
    """
    generated = network.generator(latents)
    scores = network.critic(torch.cat([images, generated.detach()]))
    real, fake = scores[: len(images)], scores[len(images) :]
    of_critic = functional.relu(1.0 - real).mean() + functional.relu(1.0 + fake).mean()
    with held(network.critic):
        of_generator: Tensor = -network.critic(generated).mean()
    return of_critic + of_generator


def inversion_loss(
    network: InvGan, latents: Tensor, *, latent_weight: float, image_weight: float,
    image_margin: float,
) -> Tensor:
    """How far the encoder is from inverting the generator on `latents` z, N×L.

    `latent_weight` · mean (E(G(z)) − z)² + `image_weight` · mean max(0, d − `image_margin`),
    where d is the mean absolute difference of a column of G(E(G(z))) from that of G(z), in
    pixels of [0,1]; as in the authors' code. Only the encoder has a gradient.
    """
    with held(network.generator):
        with torch.no_grad():
            images = network.generator(latents)
        found = network.encoder(images)
        again = network.generator(found)
    columns = (again - images).abs().mean(dim=2)
    beyond = functional.relu(columns - image_margin).mean()
    return latent_weight * functional.mse_loss(found, latents) + image_weight * beyond


@contextmanager
def held(part: nn.Module) -> Iterator[None]:
    """Eval mode inside, and weights that are constants; modes and flags as before afterwards.

    Unlike `robench.freezing.frozen` it does not write the buffers back, which a backward pass
    that comes later still needs untouched.
    """
    modes = [(module, module.training) for module in part.modules()]
    flags = [(weight, weight.requires_grad) for weight in part.parameters()]
    try:
        part.eval().requires_grad_(False)
        yield
    finally:
        for module, training in modes:
            module.training = training
        for weight, flag in flags:
            weight.requires_grad_(flag)
