"""Losses of a GAN that is told the class: one backward pass for generator and critic."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from robench.training.attack_gan import AttackGan
from robench.training.gan_losses import held

_PENALTY = 10.0


def attack_gan_loss(
    gan: AttackGan, images: Tensor, labels: Tensor, *, critic_steps: int,
    generator: torch.Generator,
) -> Tensor:
    """The losses of critic and generator, summed, for real `images` N×C×H×W of `labels` N.

    "wgan": mean D(G(z)) − mean D(x) + 10 · `gradient_penalty` for the critic and −mean D(G(z))
    for the generator, which takes part in every `critic_steps`-th batch (Gulrajani et al. 2017,
    arXiv 1704.00028, algorithm 1). Else the two of Goodfellow et al. 2014, the generator's in the
    form that does not saturate: −log D(x) − log(1 − D(G(z))) and −log D(G(z)), in every batch.
    No weight is in both graphs, see `robench.training.gan_losses.gan_loss`.
    """
    generated = gan.generate(labels, generator)
    constant = generated.detach()
    scores = gan.scores(torch.cat([images, constant]), torch.cat([labels, labels]))
    real, fake = scores[: len(images)], scores[len(images) :]
    gan.updates += 1
    if gan.kind == "wgan":
        penalty = gradient_penalty(gan, images, constant, labels, generator)
        loss = fake.mean() - real.mean() + _PENALTY * penalty
        if int(gan.updates) % critic_steps:
            return loss
    else:
        loss = functional.softplus(-real).mean() + functional.softplus(fake).mean()
    with held(gan.critic):
        again = gan.scores(generated, labels)
    return loss + (-again if gan.kind == "wgan" else functional.softplus(-again)).mean()


def gradient_penalty(
    gan: AttackGan, images: Tensor, generated: Tensor, labels: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """The mean of (‖∇D‖₂ − 1)² at points uniform between real and generated images.

    The gradient is in pixels of [−1, 1], in which Gulrajani et al. 2017 train.
    """
    share = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device)
    between = (share * images + (1.0 - share) * generated).requires_grad_(True)
    scores = gan.scores(between, labels)
    (gradient,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
    length = (0.5 * gradient).flatten(1).norm(dim=1)
    penalty: Tensor = (length - 1.0).square().mean()
    return penalty
