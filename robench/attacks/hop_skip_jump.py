"""HopSkipJump: along the decision boundary by gradients that are estimated from decisions."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from robench.attacks.balls import Norm, distances
from robench.attacks.base import Attack
from robench.attacks.candidates import drawn_parts, groups, parts
from robench.attacks.decisions import (
    first_adversarial,
    is_adversarial,
    starting_points,
    to_boundary,
)
from robench.attacks.draws import Draws
from robench.attacks.query import Query
from robench.attacks.settings import check_norm, check_number, check_steps
from robench.attacks.targets import Target, aimed_at, check_target

# The radius of the first estimate's samples, in pixel units, as in the authors' code.
_FIRST_RADIUS = 0.1
# How many sizes of a step are tried, each half the one before.
_SIZES = 10


class HopSkipJump(Attack):
    """Bisection to the decision boundary, an estimate of its normal, a step along it; repeated.

    Chen et al. 2020 (arXiv 1904.02144), algorithm 2. The t-th estimate takes `samples`·√t random
    directions, at most `max_samples`, within γ/d of the distance from the clean image of d
    numbers, less the mean decision (equation 16). The step has the distance over √t, or the
    largest half, quarter, … of it that is adversarial. Bisection ends at γ·d^(−3/2) of the
    distance in L2, and γ·d^(−2) in L∞. `target`: adversarial is what is taken for a class chosen
    at the clean image, see `robench.attacks.targets`; None, for any other class than the label.
    """

    name = "hop-skip-jump"
    norm: Norm = "l2"
    budget = "minimum"
    access = "decision"

    def __init__(
        self, *, norm: Norm = "l2", steps: int = 50, samples: int = 100,
        max_samples: int = 10000, gamma: float = 1.0, target: Target | None = None,
    ) -> None:
        self.norm = check_norm(norm)
        self.steps = check_steps(steps)
        self.samples = check_steps(samples, "samples")
        self.max_samples = check_steps(max_samples, "max_samples")
        self.gamma = check_number(gamma, "gamma", open_low=True)
        self.target = None if target is None else check_target(target)

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        targets = aimed_at(self.target, victim, random)
        points, found = starting_points(victim, images, random, targets)
        final = points.clone()
        rows = torch.arange(len(images), device=images.device)
        if victim.rowwise:
            rows = found.nonzero()[:, 0]
            if len(rows) == 0:
                return final
            victim, random = victim.select(rows), random.select(rows)
            images, points = images[rows], points[rows]
            targets = None if targets is None else targets[rows]
        size = images[0].numel()
        exponent = 1.5 if self.norm == "l2" else 2.0
        halvings = max(math.ceil(math.log2(size**exponent / self.gamma)), 1)
        halved = partial(
            to_boundary, victim, images, norm=self.norm, halvings=halvings, targets=targets
        )
        points = halved(points)
        for step in range(1, self.steps + 1):
            away = distances(images, points, self.norm)
            radius = self.gamma / size * away
            if step == 1:
                radius = torch.full_like(away, _FIRST_RADIUS)
            count = min(int(self.samples * math.sqrt(step)), self.max_samples)
            normal = self._normal(victim, points, radius, count, random, targets)
            direction = normal if self.norm == "l2" else normal.sign()
            points = _stepped(victim, points, direction, away / math.sqrt(step), targets)
            points = halved(points)
        final[rows] = points
        return final

    def _normal(
        self, victim: Query, points: Tensor, radius: Tensor, count: int, random: Draws,
        targets: Tensor | None = None,
    ) -> Tensor:
        """The estimated unit normals of the boundary at `points`, towards what is adversarial."""
        normals = []
        for part, draws in drawn_parts(victim, random):
            view, here = victim.select(part), points[part, None]
            aims = None if targets is None else targets[part]
            reach = radius[part, None, None, None, None]
            # Sums of float32 numbers in float64, so that their order does not matter.
            plain = torch.zeros_like(points[part], dtype=torch.float64)
            signed, balance = torch.zeros_like(plain), torch.zeros_like(plain[:, 0, 0, 0])
            for size in groups(count):
                trials = (here + reach * self._directions(draws, size, points)).clamp(0.0, 1.0)
                moved = (trials - here) / reach.clamp_min(1e-30)
                decision = torch.where(is_adversarial(view, trials, aims), 1.0, -1.0)
                plain += moved.double().sum(dim=1)
                signed += (decision[..., None, None, None] * moved).double().sum(dim=1)
                balance += decision.double().sum(dim=1)
            mean = (balance / count)[:, None, None, None]
            total = torch.where(mean.abs() == 1, signed, signed - mean * plain)
            length = total.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
            normals.append((total / length.clamp_min(1e-30)).float())
        return torch.cat(normals)

    def _directions(self, draws: Draws, count: int, points: Tensor) -> Tensor:
        """Random directions N×count×C×H×W of unit length."""
        shape = (count, *points.shape[1:])
        drawn = draws.normal(*shape) if self.norm == "l2" else draws.uniform(*shape, low=-1.0)
        length = drawn.double().square().sum(dim=(2, 3, 4), keepdim=True).sqrt().float()
        return drawn / length.clamp_min(1e-30)


def _stepped(
    victim: Query, points: Tensor, direction: Tensor, reach: Tensor, targets: Tensor | None = None
) -> Tensor:
    """The points after the longest step along `direction`, of those tried, that stays adversarial;
    where there is none, as they were."""
    shares = 0.5 ** torch.arange(_SIZES, device=points.device)
    stepped = []
    for part in parts(victim):
        steps = (reach[part, None] * shares)[..., None, None, None]
        trials = (points[part, None] + steps * direction[part, None]).clamp(0.0, 1.0)
        aims = None if targets is None else targets[part]
        stepped.append(first_adversarial(victim.select(part), trials, points[part], aims))
    return torch.cat(stepped)
