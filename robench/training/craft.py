"""The adversarial images a network is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from robench.attacks.balls import ascent_direction, box_ball, project_l2
from robench.training.checks import check_choice, check_flag, check_positive, check_whole
from robench.training.logits import class_logits
from robench.victim import frozen

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
    ball = _Ball(images, epsilon, norm)
    current = ball.uniform(generator) if random_start else images
    with (
        frozen(network),
        torch.enable_grad(),
        torch.autocast(images.device.type, enabled=False),
    ):
        for _ in range(steps):
            leaf = current.detach().requires_grad_(True)
            loss = functional.cross_entropy(class_logits(network(leaf)), labels, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, leaf)
            step = step_size * ascent_direction(gradient, norm)
            current = ball.project(leaf.detach() + step)
    return current


class _Ball:
    """The balls around the images, cut with the box; the L∞ bounds are worked out once."""

    def __init__(self, images: Tensor, epsilon: float, norm: AdversaryNorm) -> None:
        self._images = images
        self._epsilon = epsilon
        self._bounds = box_ball(images, epsilon) if norm == "linf" else None

    def project(self, candidate: Tensor) -> Tensor:
        if self._bounds is None:
            return project_l2(self._images, candidate, self._epsilon)
        low, high = self._bounds
        return torch.maximum(torch.minimum(candidate, high), low)

    def uniform(self, generator: torch.Generator) -> Tensor:
        images = self._images
        offset = torch.empty_like(images)
        if self._bounds is not None:
            offset.uniform_(-1.0, 1.0, generator=generator)
        else:
            offset.normal_(generator=generator)
            radius = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device)
            # the share of a ball's volume within r grows with r to the number of dimensions
            offset = ascent_direction(offset, "l2") * radius ** (1.0 / images[0].numel())
        return self.project(images + self._epsilon * offset)
