"""Random noise: the attack that looks at nothing, and so the floor for all that do."""

from __future__ import annotations

from torch import Tensor

from robench.attacks.balls import Norm, ascent_direction
from robench.attacks.base import Attack
from robench.attacks.draws import Draws
from robench.attacks.query import Query
from robench.attacks.settings import check_norm, check_steps


class Noise(Attack):
    """The best of `draws` random perturbations on the edge of what the ball allows.

    With `norm="linf"` every pixel moves uniformly in ±ε; with `norm="l2"` the perturbation is
    Gaussian, scaled to length ε.
    """

    name = "noise"
    access = "decision"

    def __init__(self, *, norm: Norm = "linf", draws: int = 1) -> None:
        self.norm = check_norm(norm)
        self.draws = check_steps(draws, "draws")

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        for _ in range(self.draws - 1):
            victim.logits(self._one(images, epsilon, random).clamp(0.0, 1.0))
        return self._one(images, epsilon, random)

    def _one(self, images: Tensor, epsilon: float, random: Draws) -> Tensor:
        shape = images.shape[1:]
        if self.norm == "linf":
            return images + epsilon * random.uniform(*shape, low=-1.0, high=1.0)
        return images + epsilon * ascent_direction(random.normal(*shape), "l2")
