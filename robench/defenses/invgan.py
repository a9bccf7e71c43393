"""InvGAN: images are projected on what a GAN, trained elsewhere, can generate."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from robench.defenses.backward import StraightThrough
from robench.defenses.checks import check_number, check_whole
from robench.defenses.inverted_gan import InvertedGan, inverted_gan_from

# Of the authors' refinement, and of Defense-GAN's: the momentum, the share of the steps after
# which the learning rate falls, and by what.
_MOMENTUM, _FIRST_STEPS, _FALL = 0.7, 0.8, 0.1


def invgan(
    network: nn.Module, *, checkpoint: str | None = None, refine_steps: int = 0,
    refine_learning_rate: float = 10.0,
) -> nn.Module:
    """`network` behind the projection G(E(x)) of the InvGAN in the file `checkpoint`.

    Lin, Balaji, Samangouei, Chellappa 2019 (arXiv 1911.10291), who put it in front of a finished
    classifier; see `robench.defenses.inverted_gan.inverted_gan_from` for the file. With
    `refine_steps` the latent is refined from E(x), see `Projection`; that has no gradient, so
    the backward pass is that of G(E(x)) (BPDA, Athalye, Carlini, Wagner 2018, arXiv 1802.00420,
    section 4.1). Raises UserError for settings that are none, for a file that holds no InvGAN,
    and in the first pass for images that do not fit it.
    """
    check_whole("refine_steps", refine_steps, low=0)
    check_number("refine_learning_rate", refine_learning_rate, above=0.0)
    plain = Projection(inverted_gan_from(checkpoint))
    if not refine_steps:
        return nn.Sequential(plain, network)
    refined = Projection(plain.gan, steps=refine_steps, learning_rate=refine_learning_rate)
    return nn.Sequential(StraightThrough(refined, plain), network)


class Projection(nn.Module):
    """Pixels N×C×H×W in [0,1] to pixels G(z) that `gan` generates.

    z is E(x), or with `steps` what as many steps of gradient descent on the mean square of
    G(z) − x make of it: momentum 0.7, and a tenth of `learning_rate` after four fifths of the
    steps, as in the code of Defense-GAN (Samangouei, Kabkab, Chellappa 2018, arXiv 1805.06605)
    and InvGAN. Each image's z moves by itself, and nothing is drawn.
    """

    def __init__(
        self, gan: InvertedGan, *, steps: int = 0, learning_rate: float = 10.0
    ) -> None:
        super().__init__()
        self.gan = gan
        self.steps = steps
        self.learning_rate = learning_rate

    def extra_repr(self) -> str:
        return f"steps={self.steps}, learning_rate={self.learning_rate:g}"

    def forward(self, images: Tensor) -> Tensor:
        size = cast(tuple[int, int], tuple(images.shape[2:]))
        latents = self.gan.encode(images)
        if self.steps:
            latents = self._refined(latents, images.detach(), size)
        return self.gan.generate(latents, size)

    def _refined(self, latents: Tensor, images: Tensor, size: tuple[int, int]) -> Tensor:
        latents = latents.detach()
        speed = torch.zeros_like(latents)
        fast = math.ceil(_FIRST_STEPS * self.steps)
        for step in range(self.steps):
            with torch.enable_grad():
                leaf = latents.requires_grad_(True)
                differences = self.gan.generate(leaf, size) - images
                loss = differences.square().mean(dim=(1, 2, 3)).sum()
            (slope,) = torch.autograd.grad(loss, leaf)
            rate = self.learning_rate * (1.0 if step < fast else _FALL)
            speed = _MOMENTUM * speed + slope
            latents = latents.detach() - rate * speed
        return latents
