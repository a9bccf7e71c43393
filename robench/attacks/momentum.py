"""MI-FGSM and the two that transfer better by it: input diversity, translation invariance."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from robench.attacks.balls import Ball, Norm, ascent_direction, distances
from robench.attacks.base import Attack
from robench.attacks.draws import Draws
from robench.attacks.losses import cross_entropy, targeted_cross_entropy
from robench.attacks.query import Query
from robench.attacks.settings import check_norm, check_number, check_step_size, check_steps
from robench.attacks.targets import Target, check_target, target_classes
from robench.victim import Loss


class MIFGSM(Attack):
    """The momentum iterative method: steps along a running sum of gradients.

    Dong et al. 2018 (arXiv 1710.06081), algorithm 1: each gradient is divided by its mean size
    and added to `decay` times the sum so far; a step goes along the sum's sign, or with
    `norm="l2"` along the sum over its L2 norm (section 3.3). `step_size` None is the paper's
    ε/`steps`. `target`: steps towards a class chosen at the clean image (section 3.3).
    """

    name = "mi-fgsm"

    def __init__(
        self,
        *,
        steps: int = 10,
        step_size: float | None = None,
        norm: Norm = "linf",
        decay: float = 1.0,
        target: Target | None = None,
    ) -> None:
        self.steps = check_steps(steps)
        self.step_size = check_step_size(step_size)
        self.norm = check_norm(norm)
        self.decay = check_number(decay, "decay")
        self.target = None if target is None else check_target(target)

    @property
    def clean_loss(self) -> Loss | None:
        """Cross-entropy, where the first step is taken at the image and away from its label."""
        return cross_entropy if self.target is None else None

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        step_size = self.step_size or epsilon / self.steps
        ball = Ball(images, epsilon, self.norm)
        aims = self._aims(victim, images, labels, random)
        current, final = images, images.clone()
        rows = torch.arange(len(images), device=images.device)
        momentum = torch.zeros_like(images)
        for _ in range(self.steps):
            gradient = self._gradient(victim, current, aims, random)
            momentum = self.decay * momentum + gradient / _mean_size(gradient)
            kept = victim.kept()
            if kept is not None:
                rows, current, momentum = rows[kept], current[kept], momentum[kept]
                victim, ball, random = victim.select(kept), ball.select(kept), random.select(kept)
                aims = None if aims is None else aims[kept]
                if len(rows) == 0:
                    break
            current = ball.project(current + step_size * ascent_direction(momentum, self.norm))
            final[rows] = current
        return final

    def _aims(
        self, victim: Query, images: Tensor, labels: Tensor, random: Draws
    ) -> Tensor | None:
        if self.target is None:
            return None
        targets = target_classes(self.target, victim.clean_logits(), labels, random)
        return torch.stack([labels, targets], dim=1)

    def _gradient(
        self, victim: Query, current: Tensor, aims: Tensor | None, random: Draws
    ) -> Tensor:
        if aims is None and current is victim.images:
            return victim.clean_gradient(cross_entropy)
        if aims is None:
            return victim.gradient(current, cross_entropy)
        return victim.gradient(current, targeted_cross_entropy, aims=aims)


class DIFGSM(MIFGSM):
    """MI-FGSM on gradients at randomly resized and padded images.

    Xie et al. 2019 (arXiv 1803.06978), section 3: before each gradient, with probability
    `diversity`, an image is shrunk to a random size of at least `resize` times its own, and put
    at a random place on black. With `decay` 0 this is the paper's DI²-FGSM, else M-DI²-FGSM.
    """

    name = "di-fgsm"

    def __init__(
        self,
        *,
        steps: int = 10,
        step_size: float | None = None,
        norm: Norm = "linf",
        decay: float = 1.0,
        diversity: float = 0.5,
        resize: float = 0.9,
        target: Target | None = None,
    ) -> None:
        super().__init__(steps=steps, step_size=step_size, norm=norm, decay=decay, target=target)
        self.diversity = check_number(diversity, "diversity", high=1.0)
        self.resize = check_number(resize, "resize", high=1.0, open_low=True)

    @property
    def clean_loss(self) -> Loss | None:
        """None, unless no image is resized: the first gradient is taken at another image."""
        return super().clean_loss if self.diversity == 0 else None

    def _gradient(
        self, victim: Query, current: Tensor, aims: Tensor | None, random: Draws
    ) -> Tensor:
        if self.diversity == 0:
            return super()._gradient(victim, current, aims, random)
        leaf = current.detach().requires_grad_(True)
        shown = diversified(leaf, random.uniform(4), probability=self.diversity, least=self.resize)
        outer = super()._gradient(victim, shown.detach(), aims, random)
        return torch.autograd.grad(shown, leaf, outer)[0]


class TIFGSM(DIFGSM):
    """MI-FGSM on gradients that are smoothed as if the image had been shifted in all directions.

    Dong et al. 2019 (arXiv 1904.02884), section 3.2: each gradient is convolved with a Gaussian
    kernel of `kernel_size` pixels that ends at three standard deviations. With `decay` 0 and one
    step of ε this is the paper's TI-FGSM, with `decay` 1 TI-MI-FGSM, with `diversity` 0.7 as well
    TI-DIM.
    """

    name = "ti-fgsm"

    def __init__(
        self,
        *,
        steps: int = 10,
        step_size: float | None = None,
        norm: Norm = "linf",
        decay: float = 1.0,
        kernel_size: int = 15,
        diversity: float = 0.0,
        resize: float = 0.9,
        target: Target | None = None,
    ) -> None:
        super().__init__(
            steps=steps, step_size=step_size, norm=norm, decay=decay, diversity=diversity,
            resize=resize, target=target,
        )
        self.kernel_size = check_steps(kernel_size, "kernel_size")
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size: got {kernel_size}, expected an odd number")

    def _gradient(
        self, victim: Query, current: Tensor, aims: Tensor | None, random: Draws
    ) -> Tensor:
        return smoothed(super()._gradient(victim, current, aims, random), self.kernel_size)


def diversified(images: Tensor, draws: Tensor, *, probability: float, least: float) -> Tensor:
    """Images N×C×H×W, each with `probability` resized bilinearly and padded with zeros to H×W.

    `draws` N×4, uniform in [0, 1), decide: whether, which size, from the top, from the left. The
    sizes are the whole numbers from `least`·H to H − 1, and likewise for W.
    """
    changed = draws[:, 0] < probability
    for axis, place in ((2, draws[:, 2]), (3, draws[:, 3])):
        images = _squeezed(images, axis, draws[:, 1], place, changed, least)
    return images


def _squeezed(
    images: Tensor, axis: int, size: Tensor, place: Tensor, changed: Tensor, least: float
) -> Tensor:
    """One axis of `diversified`: every pixel is read off between two, as in bilinear resizing.

    Elementwise, so that no image's last bit depends on its batch.
    """
    size, place = size.double(), place.double()
    side = images.shape[axis]
    smallest = min(max(int(side * least), 1), side)
    sides = smallest + (size * max(side - smallest, 1)).floor()
    first = (place * (side - sides + 1)).floor()
    sides, first = torch.where(changed, sides, side), torch.where(changed, first, 0.0)
    at = torch.arange(side, device=images.device) - first[:, None]
    source = ((at + 0.5) * (side / sides[:, None]) - 0.5).clamp(0, side - 1)
    below = source.floor()
    upper = (source - below).masked_fill((at < 0) | (at >= sides[:, None]), 0.0)
    lower = (1.0 - source + below).masked_fill((at < 0) | (at >= sides[:, None]), 0.0)
    shape = [len(images), 1, 1, 1]
    shape[axis] = side

    def read(index: Tensor, weight: Tensor) -> Tensor:
        picked = images.gather(axis, index.long().reshape(shape).expand_as(images))
        return picked * weight.reshape(shape).float()

    return read(below, lower) + read((below + 1).clamp_max(side - 1), upper)


def smoothed(gradient: Tensor, size: int) -> Tensor:
    """N×C×H×W convolved, zero outside, with a Gaussian kernel of size×size that sums to 1.

    Shifted sums rather than a convolution, whose last bits depend on how many rows share it.
    """
    for axis in (2, 3):
        margin = [size // 2] * 2
        padded = functional.pad(gradient, [0, 0, *margin] if axis == 2 else margin)
        side = gradient.shape[axis]
        gradient = torch.zeros_like(gradient)
        for shift, weight in enumerate(gaussian(size)):
            gradient = gradient + weight * padded.narrow(axis, shift, side)
    return gradient


def gaussian(size: int) -> list[float]:
    """Weights of a Gaussian at `size` points from −3 to 3 standard deviations; they sum to 1."""
    step = 6.0 / (size - 1) if size > 1 else 0.0
    middle = size // 2
    raw = [math.exp(-0.5 * (step * (place - middle)) ** 2) for place in range(size)]
    return [value / sum(raw) for value in raw]


def _mean_size(gradient: Tensor) -> Tensor:
    """The mean absolute value per image, N×1×1×1, 1 where all is 0."""
    mean = distances(torch.zeros_like(gradient), gradient, "l1") / gradient[:1].numel()
    return torch.where(mean > 0, mean, 1.0)[:, None, None, None]
