"""Projected gradient descent, and the basic iterative method, which is PGD from the image."""

from __future__ import annotations

import torch
from torch import Tensor

from robench.attacks.balls import Norm, ascent_direction, box_ball, project_l2
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
        ball = _Ball(images, epsilon, self.norm)
        current = ball.uniform(random) if self.random_start else images
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


class _Ball:
    """The ball around each image, cut with the box; L∞ bounds are worked out once."""

    def __init__(
        self, images: Tensor, epsilon: float, norm: Norm,
        bounds: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self._images = images
        self._epsilon = epsilon
        self._norm: Norm = norm
        self._bounds = bounds or (box_ball(images, epsilon) if norm == "linf" else None)

    def project(self, candidate: Tensor) -> Tensor:
        if self._bounds is None:
            return project_l2(self._images, candidate, self._epsilon)
        low, high = self._bounds
        return torch.maximum(torch.minimum(candidate, high), low)

    def uniform(self, random: Draws) -> Tensor:
        """A point of each ball, uniform before the cut with the box."""
        shape = self._images.shape[1:]
        if self._norm == "linf":
            offset = random.uniform(*shape, low=-1.0, high=1.0)
        else:
            direction = ascent_direction(random.normal(*shape), "l2")
            radius = random.uniform(1, 1, 1) ** (1.0 / shape.numel())
            offset = direction * radius
        return self.project(self._images + self._epsilon * offset)

    def select(self, rows: Tensor) -> _Ball:
        bounds = None if self._bounds is None else (self._bounds[0][rows], self._bounds[1][rows])
        return _Ball(self._images[rows], self._epsilon, self._norm, bounds)
