"""The fast minimum-norm attack: gradient steps in a ball that grows and shrinks."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from robench.attacks.balls import NORMS, Norm, distances
from robench.attacks.base import Attack
from robench.attacks.boundaries import dual_norm
from robench.attacks.draws import Draws
from robench.attacks.losses import cw, margin
from robench.attacks.query import Query
from robench.attacks.settings import check_norm, check_number, check_steps
from robench.attacks.targets import Target, check_target, target_classes


class FMN(Attack):
    """Steps along the gradient of the margin, each projected into a ball of an image's own.

    Pintor et al. 2021 (arXiv 2102.12827), algorithm 1. While an image stands and was never
    broken, its ball reaches to the boundary of the linearised network, and a share `overshoot`
    beyond: on the boundary itself nothing is broken. After that the radius shrinks by a share γ
    where the image is broken and grows by it where it is not. In L0 it starts at 1 and changes by
    at least 1. The length of a step falls from `step_size` to
    `final_step_size`, and γ from `gamma` to `final_gamma`, along a cosine. `target`: towards a
    class chosen at the clean image, see `robench.attacks.targets`; None goes away from the label.
    """

    name = "fmn"
    budget = "minimum"

    def __init__(
        self,
        *,
        norm: Norm = "l2",
        steps: int = 100,
        step_size: float = 1.0,
        final_step_size: float = 0.01,
        gamma: float = 0.05,
        final_gamma: float = 0.001,
        overshoot: float = 1e-4,
        target: Target | None = None,
    ) -> None:
        self.norm = check_norm(norm, NORMS)
        self.steps = check_steps(steps)
        self.step_size = check_number(step_size, "step_size", open_low=True)
        self.final_step_size = check_number(final_step_size, "final_step_size", open_low=True)
        self.gamma = check_number(gamma, "gamma", high=1.0)
        self.final_gamma = check_number(final_gamma, "final_gamma", high=1.0)
        self.overshoot = check_number(overshoot, "overshoot")
        self.target = None if target is None else check_target(target)

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        classes, loss = labels, cw
        if self.target is not None:
            classes = target_classes(self.target, victim.logits(images), labels, random)
            loss = margin
        widest = distances(images, (images < 0.5).to(images), self.norm)
        radius = torch.ones_like(widest)
        nearest = torch.full_like(widest, torch.inf)
        current = images
        for step in range(self.steps):
            annealed = partial(_annealed, share=step / self.steps)
            logits, gradient = victim.logits_and_gradient(current, loss, aims=classes)
            reached = logits.argmax(dim=1).eq(classes)
            if self.target is None:
                reached = ~reached
            away = distances(images, current, self.norm)
            found = torch.isfinite(nearest) | reached
            nearest = torch.where(reached, torch.minimum(nearest, away), nearest)
            gamma = annealed(self.gamma, self.final_gamma)
            if self.norm == "l0":
                shrunk = torch.minimum(radius - 1, (radius * (1 - gamma)).floor())
                grown = torch.maximum(radius + 1, (radius * (1 + gamma)).floor())
            else:
                boundary = away + loss(logits, classes).abs() / dual_norm(
                    gradient, self.norm
                ).clamp_min(1e-12)
                shrunk, grown = radius * (1 - gamma), radius * (1 + gamma)
                grown = torch.where(found, grown, boundary * (1 + self.overshoot))
            radius = torch.where(reached, torch.minimum(shrunk, nearest), grown)
            radius = radius.clamp_min(1.0 if self.norm == "l0" else 0.0).minimum(widest)
            length = annealed(self.step_size, self.final_step_size)
            unit = gradient / _column(dual_norm(gradient, "l2").clamp_min(1e-12))
            offset = _PROJECTIONS[self.norm](current + length * unit - images, radius)
            current = (images + offset).clamp(0.0, 1.0)
        return current


def _annealed(first: float, last: float, *, share: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2


def _column(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _into_linf(offset: Tensor, radius: Tensor) -> Tensor:
    bound = _column(radius)
    return torch.maximum(torch.minimum(offset, bound), -bound)


def _into_l2(offset: Tensor, radius: Tensor) -> Tensor:
    return offset * _column((radius / dual_norm(offset, "l2").clamp_min(1e-12)).clamp_max(1.0))


def _into_l1(offset: Tensor, radius: Tensor) -> Tensor:
    """The nearest point of the L1 ball: all pixels move by the same towards 0, but not beyond it
    (Duchi et al. 2008)."""
    size = offset.flatten(1).double().abs()
    ordered = size.sort(dim=1, descending=True).values
    excess = ordered.cumsum(dim=1) - radius.double()[:, None]
    count = torch.arange(1, size.shape[1] + 1, device=size.device)
    # The cut that fits k pixels is largest where k is the number of pixels that stay.
    cut = (excess / count).amax(dim=1).clamp_min(0.0).float()
    return offset.sign() * (offset.abs() - _column(cut)).clamp_min(0.0)


def _into_l0(offset: Tensor, radius: Tensor) -> Tensor:
    """The `radius` pixels that moved farthest, over all channels, and of equal ones the first."""
    size = offset.double().square().sum(dim=1).float().flatten(1)
    rank = size.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    kept = (rank < radius[:, None]).reshape(len(offset), 1, *offset.shape[2:])
    return offset * kept


_PROJECTIONS = {"linf": _into_linf, "l2": _into_l2, "l1": _into_l1, "l0": _into_l0}
