"""The adversarial images a network is trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from robench.attacks.balls import Ball, ascent_direction, in_unit_ball
from robench.freezing import frozen
from robench.training.checks import check_choice, check_flag, check_positive, check_whole
from robench.training.logits import class_logits

AdversaryNorm = Literal["linf", "l2"]
NORMS: tuple[AdversaryNorm, ...] = ("linf", "l2")


@dataclass(frozen=True, kw_only=True)
class Adversary:
    """PGD with its settings, for recipes that train or validate against it.

    `epsilon` and `step_size` are in pixel units of [0,1]; for "l2" they are lengths, so that
    `epsilon` may be above 1. Raises UserError naming the first parameter that is not usable.
    """

    epsilon: float
    step_size: float
    steps: int
    norm: AdversaryNorm
    random_start: bool

    def __post_init__(self) -> None:
        check_choice("norm", self.norm, NORMS)
        if self.norm == "linf":
            check_positive("epsilon", self.epsilon, high=1.0)
        else:
            check_positive("epsilon", self.epsilon)
        check_positive("step_size", self.step_size)
        check_whole("steps", self.steps, low=1)
        check_flag("random_start", self.random_start)

    def images(
        self, network: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        """What `craft` makes of `images` at these settings."""
        return craft(
            network,
            images,
            labels,
            epsilon=self.epsilon,
            step_size=self.step_size,
            steps=self.steps,
            norm=self.norm,
            random_start=self.random_start,
            generator=generator,
        )


def craft(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    epsilon: float,
    step_size: float,
    steps: int,
    norm: AdversaryNorm,
    random_start: bool,
    generator: torch.Generator,
) -> Tensor:
    """The last iterates of PGD from `images` (float32 N×C×H×W in [0,1]; `labels` int64 N).

    Projected gradient ascent on the cross-entropy summed over all images, also those that are
    wrong already: Madry et al. 2018 (arXiv 1706.06083), section 2.1. With `random_start` the
    first iterate is uniform in the ball, before the cut with the box. Every iterate is in
    [0,1] and in the ball of radius `epsilon`.

    The network is in eval mode meanwhile and no gradient of a weight is computed; afterwards
    its modes, buffers, `requires_grad` flags and gradients are as before. `generator` is on
    the images' device.
    """
    ball = Ball(images, epsilon, norm)
    start = ball.shifted(_random_offset(images, norm, generator)) if random_start else images

    def loss(logits: Tensor) -> Tensor:
        return functional.cross_entropy(logits, labels, reduction="sum")

    return ascend(network, start, ball, loss, step_size=step_size, steps=steps, norm=norm)


def ascend(
    network: nn.Module, start: Tensor, ball: Ball, loss: Callable[[Tensor], Tensor], *,
    step_size: float, steps: int, norm: AdversaryNorm,
) -> Tensor:
    """The last iterates of projected gradient ascent from `start` on a `loss` of logits N×K.

    `loss` is summed over the images, so that each has a gradient of its own. What holds for the
    network, its modes and gradients in `craft` holds here.
    """
    current = start
    with (
        frozen(network),
        torch.enable_grad(),
        torch.autocast(start.device.type, enabled=False),
    ):
        for _ in range(steps):
            leaf = current.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(loss(class_logits(network(leaf))), leaf)
            step = step_size * ascent_direction(gradient, norm)
            current = ball.project(leaf.detach() + step)
    return current


def _random_offset(images: Tensor, norm: AdversaryNorm, generator: torch.Generator) -> Tensor:
    """A point uniform in the unit ball of `norm` for each image."""
    if norm == "linf":
        return torch.empty_like(images).uniform_(-1.0, 1.0, generator=generator)
    normal = torch.empty_like(images).normal_(generator=generator)
    radius = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device)
    return in_unit_ball(normal, radius)
