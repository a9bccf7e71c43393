"""An adversarial patch: a small square of any pixel values, made for one image and one place."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robench.attacks.base import Attack
from robench.attacks.draws import Draws
from robench.attacks.losses import cross_entropy, targeted_cross_entropy
from robench.attacks.query import Query
from robench.attacks.settings import check_step_size, check_steps
from robench.attacks.targets import Target, check_target, target_classes
from robench.victim import Loss


class Patch(Attack):
    """Gradient descent on the pixels of a square, at each of `locations` places in turn.

    The patch of Brown et al. 2017 (arXiv 1712.09665), made for one image and one place as Karmon
    et al. 2018 (arXiv 1801.02608) do, where theirs serves all images and places. The
    perturbation is not small but confined: epsilon is the number of pixels, and the patch is the
    largest square of no more. Its place is drawn uniformly, its first pixels uniformly in [0,1];
    `steps` times they move by `step_size` along the sign of the gradient of the cross-entropy
    (None: 2.5/`steps`), within [0,1]. With a `target` they climb towards that class instead.
    """

    name = "patch"
    norm = "l0"

    def __init__(
        self,
        *,
        steps: int = 40,
        step_size: float | None = None,
        locations: int = 4,
        target: Target | None = None,
    ) -> None:
        self.steps = check_steps(steps)
        self.step_size = check_step_size(step_size)
        self.locations = check_steps(locations, "locations")
        self.target = None if target is None else check_target(target)

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        side = min(math.isqrt(int(min(epsilon, images[0, 0].numel()))), *images.shape[2:])
        if side == 0:
            return images
        loss: Loss = cross_entropy
        aims = labels
        if self.target is not None:
            chosen = target_classes(self.target, victim.logits(images), labels, random)
            loss, aims = targeted_cross_entropy, torch.stack([labels, chosen], dim=1)
        final = images.clone()
        rows = torch.arange(len(images), device=images.device)
        for _ in range(self.locations):
            kept = victim.kept()
            if kept is not None:
                rows, victim, random = rows[kept], victim.select(kept), random.select(kept)
            if len(rows) == 0:
                break
            inside = _squares(random, side, images.shape[2:])
            paint = random.uniform(*images.shape[1:])
            final[rows] = self._paint(victim, images[rows], inside, paint, loss, aims[rows])
        return final

    def _paint(
        self, victim: Query, images: Tensor, inside: Tensor, paint: Tensor, loss: Loss,
        aims: Tensor,
    ) -> Tensor:
        """The last iterate of one patch for each image, at the places `inside` N×1×H×W."""
        step_size = self.step_size or 2.5 / self.steps
        current = torch.where(inside, paint, images)
        final = current.clone()
        rows = torch.arange(len(images), device=images.device)
        for _ in range(self.steps):
            gradient = victim.gradient(current, loss, aims=aims)
            kept = victim.kept()
            if kept is not None:
                rows, current, gradient = rows[kept], current[kept], gradient[kept]
                inside, aims, victim = inside[kept], aims[kept], victim.select(kept)
                if len(rows) == 0:
                    break
            moved = (current + step_size * gradient.sign()).clamp(0.0, 1.0)
            current = torch.where(inside, moved, current)
        final[rows] = current
        return final


def _squares(random: Draws, side: int, size: torch.Size) -> Tensor:
    """A square of `side` pixels at a uniform place in each image, bool N×1×H×W."""
    corner = random.uniform(2)
    height, width = size
    top = (corner[:, 0] * (height - side + 1)).long().clamp_max(height - side)
    left = (corner[:, 1] * (width - side + 1)).long().clamp_max(width - side)
    down = torch.arange(height, device=corner.device)[None, :] - top[:, None]
    across = torch.arange(width, device=corner.device)[None, :] - left[:, None]
    tall, wide = (down >= 0) & (down < side), (across >= 0) & (across < side)
    return tall[:, None, :, None] & wide[:, None, None, :]
