"""Projected gradient descent, and the basic iterative method, which is PGD from the image."""

from __future__ import annotations

import torch
from torch import Tensor

from robench.attacks.balls import (
    PROJECTED,
    Ball,
    Norm,
    ascent_direction,
    in_unit_ball,
    in_unit_l1_ball,
    sparse_direction,
)
from robench.attacks.base import Attack
from robench.attacks.draws import Draws
from robench.attacks.lanes import runs_in_lanes
from robench.attacks.losses import LOSSES, LossName
from robench.attacks.query import Query
from robench.attacks.settings import (
    check_norm,
    check_number,
    check_step_size,
    check_steps,
    check_word,
)
from robench.attacks.targets import Target, check_target, target_classes
from robench.victim import Loss


class PGD(Attack):
    """Steps along the gradient of a loss, each projected into the ball and the box.

    Madry et al. 2018 (arXiv 1706.06083), section 2.1. `step_size` is in pixel units (for L2 and
    L1, the length of a step); None means 2.5·ε/`steps`, the paper's rule for its L2 figure. With
    `random_start` the first iterate is uniform in the ball; `restarts` of them are tried, each
    on the images that still stand.

    `loss`: the cross-entropy; the "margin" of Carlini & Wagner 2017 (f₆); or the difference of
    logits ratio of Croce & Hein 2020, "dlr". `target`: steps towards a class chosen at the clean
    image, see `robench.attacks.targets`; None steps away from the label.

    With `norm="l1"` a step moves the pixels above the `quantile` of the gradient's size, as SLIDE
    does (Tramèr & Boneh 2019, arXiv 1904.13000), and the projection is the exact one onto the
    ball and the box together (Croce & Hein 2021, arXiv 2103.01208).
    """

    name = "pgd"

    def __init__(
        self,
        *,
        steps: int = 40,
        step_size: float | None = None,
        norm: Norm = "linf",
        random_start: bool = True,
        restarts: int = 1,
        loss: LossName = "ce",
        target: Target | None = None,
        quantile: float = 0.99,
    ) -> None:
        self.steps = check_steps(steps)
        self.step_size = check_step_size(step_size)
        self.norm = check_norm(norm, PROJECTED)
        self.random_start = random_start
        self.restarts = check_steps(restarts, "restarts")
        if restarts > 1 and not random_start:
            raise ValueError(f"restarts: got {restarts} without random_start, expected 1")
        self.loss = check_word(loss, "loss", tuple(LOSSES))
        self.target = None if target is None else check_target(target)
        self.quantile = check_number(quantile, "quantile", high=1.0)

    @property
    def clean_loss(self) -> Loss | None:
        """The loss, where the first step is taken at the image and away from its label."""
        return None if self.random_start or self.target is not None else LOSSES[self.loss][0]

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        clean = None if self.target is None else victim.clean_logits()

        def descend(view: Query, rows: Tensor, restarts: range) -> Tensor:
            each = [random.restarted(number).select(rows) if number else random
                    for number in restarts]
            draws = each[0] if len(each) == 1 else Draws.joined(each)
            aims = None
            if clean is not None:
                aims = self._aims(clean[rows].repeat(len(restarts), 1), view.labels, draws)
            return self._run(view, aims, epsilon, draws)

        return runs_in_lanes(victim, images, self.restarts, descend)

    def _aims(self, clean: Tensor, labels: Tensor, draws: Draws) -> Tensor:
        assert self.target is not None
        return torch.stack([labels, target_classes(self.target, clean, labels, draws)], dim=1)

    def _run(
        self, victim: Query, aims: Tensor | None, epsilon: float, random: Draws
    ) -> Tensor:
        """The last iterates of one start."""
        images = victim.images
        step_size = self.step_size or 2.5 * epsilon / self.steps
        loss = LOSSES[self.loss][0 if aims is None else 1]
        ball = Ball(images, epsilon, self.norm)
        current = images
        if self.random_start:
            current = ball.shifted(_random_offset(random, images.shape[1:], self.norm))
        final = current.clone()
        rows = torch.arange(len(images), device=images.device)
        for step in range(self.steps):
            if step == 0 and not self.random_start and aims is None:
                gradient = victim.clean_gradient(loss)
            else:
                gradient = victim.gradient(current, loss, aims=aims)
            kept = victim.kept()
            if kept is not None:
                rows, current, gradient = rows[kept], current[kept], gradient[kept]
                victim, ball = victim.select(kept), ball.select(kept)
                aims = None if aims is None else aims[kept]
                if len(rows) == 0:
                    break
            current = ball.project(current + step_size * self._direction(gradient, current))
        final[rows] = current
        return final

    def _direction(self, gradient: Tensor, current: Tensor) -> Tensor:
        if self.norm == "l1":
            return sparse_direction(gradient, current, self.quantile)
        return ascent_direction(gradient, self.norm)


class BIM(PGD):
    """PGD without the random start: Kurakin et al. 2017 (arXiv 1607.02533), section 2.2; with
    `target`, the iterative least-likely class method of its section 2.3 for any target."""

    name = "bim"

    def __init__(
        self,
        *,
        steps: int = 40,
        step_size: float | None = None,
        norm: Norm = "linf",
        target: Target | None = None,
    ) -> None:
        super().__init__(
            steps=steps, step_size=step_size, norm=norm, random_start=False, target=target
        )


def _random_offset(random: Draws, shape: torch.Size, norm: Norm) -> Tensor:
    """A point uniform in the unit ball of `norm` for each image."""
    if norm == "linf":
        return random.uniform(*shape, low=-1.0, high=1.0)
    if norm == "l1":
        uniform = random.uniform(*shape, low=-1.0, high=1.0)
        return in_unit_l1_ball(uniform, random.uniform(1, 1, 1))
    return in_unit_ball(random.normal(*shape), random.uniform(1, 1, 1))
