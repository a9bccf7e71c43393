"""Random noise: the attack that looks at nothing, and so the floor for all that do."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from robench.attacks.balls import PROJECTED, Norm, distances, on_unit_l1_sphere
from robench.attacks.base import Attack
from robench.attacks.draws import Draws
from robench.attacks.query import Query
from robench.attacks.settings import check_norm, check_steps, check_word

Kind = Literal["uniform", "gaussian", "speckle", "salt-and-pepper"]
KINDS: tuple[Kind, ...] = ("uniform", "gaussian", "speckle", "salt-and-pepper")


class Noise(Attack):
    """The best of `draws` random perturbations as large as the ball allows.

    `kind`, with n standard normal per pixel of the image x:

    - "uniform": every pixel moves uniformly in ±ε (L∞), or the direction is uniform (L2, L1);
    - "gaussian": n; "speckle": x·n. With L∞ they are multiplied by ε and cut at ±ε, so that ε is
      the standard deviation before the cut; otherwise they are scaled to length ε;
    - "salt-and-pepper": places turn white or black, all channels together. With L∞ half of them,
      as far as ε allows; otherwise one after the other in random order, until the next would
      leave the ball: that one turns grey on the way.
    """

    name = "noise"
    access = "decision"

    def __init__(self, *, norm: Norm = "linf", kind: Kind = "uniform", draws: int = 1) -> None:
        self.norm = check_norm(norm, PROJECTED)
        self.kind = check_word(kind, "kind", KINDS)
        self.draws = check_steps(draws, "draws")

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        for _ in range(self.draws - 1):
            victim.logits(self._one(images, epsilon, random).clamp(0.0, 1.0))
        return self._one(images, epsilon, random)

    def _one(self, images: Tensor, epsilon: float, random: Draws) -> Tensor:
        shape = images.shape[1:]
        if self.kind == "salt-and-pepper":
            return _salt_and_pepper(images, epsilon, self.norm, random)
        if self.kind == "uniform" and self.norm != "l2":
            uniform = random.uniform(*shape, low=-1.0, high=1.0)
            if self.norm == "l1":
                uniform = on_unit_l1_sphere(uniform)
            return images + epsilon * uniform
        noise = random.normal(*shape)  # of uniform direction, in L2
        if self.kind == "speckle":
            noise = images * noise
        if self.norm == "linf":
            return images + epsilon * noise.clamp(-1.0, 1.0)
        length = distances(torch.zeros_like(noise), noise, self.norm)
        return images + epsilon * (noise / length.clamp_min(1e-30)[:, None, None, None])


def _salt_and_pepper(images: Tensor, epsilon: float, norm: Norm, random: Draws) -> Tensor:
    draw = random.uniform(2, *images.shape[2:])
    if norm == "linf":
        white, black = draw[:, :1] < 0.25, draw[:, :1] >= 0.75
        return images + epsilon * (white.float() - black.float())
    delta = (draw[:, :1] < 0.5).double() - images.double()
    power = 2 if norm == "l2" else 1
    cost = delta.abs().pow(power).sum(dim=1).flatten(1)
    order = draw[:, 1].flatten(1).argsort(dim=1, stable=True)
    ordered = cost.gather(1, order)
    # What is left of the budget when a place's turn comes, as a share of its cost.
    left = (epsilon**power - (ordered.cumsum(dim=1) - ordered)) / ordered.clamp_min(1e-30)
    share = torch.zeros_like(cost).scatter(1, order, left.clamp(0.0, 1.0) ** (1 / power))
    return (images.double() + share.reshape(delta[:, :1].shape) * delta).float()
