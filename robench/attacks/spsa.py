"""SPSA: gradient descent on gradients that are estimated from scores."""

from __future__ import annotations

import torch
from torch import Tensor

from robench.attacks.balls import Ball
from robench.attacks.base import Attack
from robench.attacks.candidates import ask, drawn_parts, groups
from robench.attacks.draws import Draws
from robench.attacks.losses import margin
from robench.attacks.query import Query
from robench.attacks.settings import check_number, check_steps
from robench.attacks.targets import Target, aimed_at, check_target

# Adam's constants (Kingma & Ba 2015, algorithm 1).
_BETA_1, _BETA_2, _TINY = 0.9, 0.999, 1e-8


class SPSA(Attack):
    """Adam on the margin, whose gradient is estimated by simultaneous perturbation.

    Uesato et al. 2018 (arXiv 1802.05666), algorithm 1: the estimate is the mean over `samples`
    directions v, all of whose entries are 1 or −1, of v·(f(x + δv) − f(x − δv))/2δ, f being the
    true logit minus the best other. Adam with `learning_rate` moves the iterate, which is then
    projected into the L∞ ball and the box. A step costs 2·`samples` + 1 queries.

    `target`: f is the best other logit minus that of a class chosen at the clean image, see
    `robench.attacks.targets`; None goes away from the label.
    """

    name = "spsa"
    access = "scores"

    def __init__(
        self, *, steps: int = 100, samples: int = 128, delta: float = 0.01,
        learning_rate: float = 0.01, target: Target | None = None,
    ) -> None:
        self.steps = check_steps(steps)
        self.samples = check_steps(samples, "samples")
        self.delta = check_number(delta, "delta", open_low=True)
        self.learning_rate = check_number(learning_rate, "learning_rate", open_low=True)
        self.target = None if target is None else check_target(target)

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        targets = aimed_at(self.target, victim, random)
        ball = Ball(images, epsilon, self.norm)
        current, final = images, images.clone()
        rows = torch.arange(len(images), device=images.device)
        mean, square = torch.zeros_like(images), torch.zeros_like(images)
        for step in range(1, self.steps + 1):
            slope = self._slope(victim, current, random, targets)
            mean = _BETA_1 * mean + (1 - _BETA_1) * slope
            square = _BETA_2 * square + (1 - _BETA_2) * slope.square()
            scale = (square / (1 - _BETA_2**step)).sqrt() + _TINY
            moved = mean / (1 - _BETA_1**step) / scale
            current = ball.project(current - self.learning_rate * moved)
            if step == self.steps:
                break  # what is returned is judged
            victim.logits(current)
            kept = victim.kept()
            if kept is not None:
                final[rows] = current
                rows, current, mean, square = rows[kept], current[kept], mean[kept], square[kept]
                victim, ball, random = victim.select(kept), ball.select(kept), random.select(kept)
                targets = None if targets is None else targets[kept]
                if len(rows) == 0:
                    return final
        final[rows] = current
        return final

    def _slope(
        self, victim: Query, current: Tensor, random: Draws, targets: Tensor | None = None
    ) -> Tensor:
        """The estimated gradient N×C×H×W of f."""
        slopes = []
        for part, draws in drawn_parts(victim, random):
            view, here = victim.select(part), current[part, None]
            aims = None if targets is None else targets[part]
            # Sums of float32 numbers in float64, so that their order does not matter.
            total = torch.zeros_like(current[part], dtype=torch.float64)
            for size in groups(self.samples):
                signs = torch.where(draws.uniform(size, *current.shape[1:]) < 0.5, -1.0, 1.0)
                above = _heights(view, here + self.delta * signs, aims)
                below = _heights(view, here - self.delta * signs, aims)
                rise = (above - below)[..., None, None, None]
                total += (rise * signs).double().sum(dim=1)
            slopes.append((total / (2 * self.delta * self.samples)).float())
        return torch.cat(slopes)


def _heights(view: Query, candidates: Tensor, targets: Tensor | None) -> Tensor:
    """f at a group of candidates N×S×C×H×W, N×S: the label's margin, or minus the target's."""
    logits = ask(view, candidates)
    classes = (view.labels if targets is None else targets)[:, None].expand(logits.shape[:2])
    gaps = margin(logits.flatten(0, 1), classes.flatten()).reshape(logits.shape[:2])
    return gaps if targets is None else -gaps
