"""Projected gradient descent, and the basic iterative method, which is PGD from the image."""

from __future__ import annotations

import torch
from torch import Tensor

from robench.attacks.balls import Ball, Norm, ascent_direction, in_unit_ball
from robench.attacks.base import Attack
from robench.attacks.draws import Draws
from robench.attacks.query import Query
from robench.attacks.settings import check_norm, check_step_size, check_steps


class PGD(Attack):
    """Steps along the gradient of the cross-entropy, each projected into the ball and the box.

    Madry et al. 2018 (arXiv 1706.06083), section 2.1. `step_size` is in pixel units (for L2, the
    length of a step); None means 2.5·ε/`steps`, the paper's rule for its L2 figure. With
    `random_start` the first iterate is uniform in the ball.
    """

    name = "pgd"

    def __init__(
        self,
        *,
        steps: int = 40,
        step_size: float | None = None,
        norm: Norm = "linf",
        random_start: bool = True,
    ) -> None:
        self.steps = check_steps(steps)
        self.step_size = check_step_size(step_size)
        self.norm = check_norm(norm)
        self.random_start = random_start

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        step_size = self.step_size or 2.5 * epsilon / self.steps
        ball = Ball(images, epsilon, self.norm)
        current = images
        if self.random_start:
            current = ball.shifted(_random_offset(random, images.shape[1:], self.norm))
        final = current.clone()
        rows = torch.arange(len(images), device=images.device)
        for step in range(self.steps):
            at_clean = step == 0 and not self.random_start
            gradient = victim.clean_gradient() if at_clean else victim.gradient(current)
            kept = victim.kept()
            if kept is not None:
                rows, current, gradient = rows[kept], current[kept], gradient[kept]
                victim, ball = victim.select(kept), ball.select(kept)
                if len(rows) == 0:
                    break
            current = ball.project(current + step_size * ascent_direction(gradient, self.norm))
        final[rows] = current
        return final


class BIM(PGD):
    """PGD without the random start: Kurakin et al. 2017 (arXiv 1607.02533), section 2.2."""

    name = "bim"

    def __init__(
        self, *, steps: int = 40, step_size: float | None = None, norm: Norm = "linf"
    ) -> None:
        super().__init__(steps=steps, step_size=step_size, norm=norm, random_start=False)


def _random_offset(random: Draws, shape: torch.Size, norm: Norm) -> Tensor:
    """A point uniform in the unit ball of `norm` for each image."""
    if norm == "linf":
        return random.uniform(*shape, low=-1.0, high=1.0)
    return in_unit_ball(random.normal(*shape), random.uniform(1, 1, 1))
