"""AutoPGD, a projected gradient ascent that needs no step size, and its targeted form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

from robench.attacks.balls import Ball, Norm, ascent_direction
from robench.attacks.base import Attack
from robench.attacks.draws import Draws
from robench.attacks.expectation import Surface
from robench.attacks.lanes import runs_in_lanes
from robench.attacks.losses import LOSSES, LossName
from robench.attacks.query import Query
from robench.attacks.settings import check_norm, check_number, check_steps, check_word
from robench.attacks.targets import Target, check_target, target_classes

_MOMENTUM = 0.75
"""The share of the new step in a move; the rest goes where the last one went."""
_FIRST, _LESS, _LEAST = 0.22, 0.03, 0.06
"""Shares of all steps: from the start to the first checkpoint; by how much less from each
checkpoint to the next; and at least."""


class APGD(Attack):
    """Gradient ascent with momentum whose step size halves where an image makes no progress.

    Croce & Hein 2020 (arXiv 2003.01690), section 3, algorithm 1: steps of 2ε at first; at
    checkpoints, an image whose loss rose in no more than `rho` of the steps since the last one,
    or whose best loss and step size are as they were there, halves its step and goes on from its
    best point. Starts are on the surface of the ball; `restarts` of them are tried, each on the
    images that still stand.

    `loss`: the cross-entropy, "ce"; the difference of logits ratio, "dlr" (equation 6), which is
    the margin where there are only two classes; or the "margin" of logits. `target`: ascends
    towards a class chosen at the clean image, see `robench.attacks.targets`; None goes away from
    the label. `eot` averages loss and gradient over that many passes, for networks that draw
    random numbers (Athalye et al. 2018, expectation over transformation).
    """

    name = "apgd"
    version = 2

    def __init__(
        self,
        *,
        norm: Norm = "linf",
        loss: LossName = "ce",
        steps: int = 100,
        restarts: int = 1,
        rho: float = 0.75,
        eot: int = 1,
        target: Target | None = None,
    ) -> None:
        self.norm = check_norm(norm)
        self.loss = check_word(loss, "loss", tuple(LOSSES))
        self.steps = check_steps(steps)
        self.restarts = check_steps(restarts, "restarts")
        self.rho = check_number(rho, "rho", high=1.0)
        self.eot = check_steps(eot, "eot")
        self.target = None if target is None else check_target(target)

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        aims = labels
        if self.target is not None:
            clean = victim.logits(images)
            chosen = target_classes(self.target, clean, labels, random)
            aims = torch.stack([labels, chosen], dim=1)
        return self._ascents(victim, images, [aims] * self.restarts, epsilon, random)

    def _ascents(
        self, victim: Query, images: Tensor, runs: Sequence[Tensor], epsilon: float, random: Draws
    ) -> Tensor:
        """One ascent for each of `runs`, the labels or aims of all images, on those standing."""
        def ascend(view: Query, rows: Tensor, numbers: range) -> Tensor:
            aims = torch.cat([runs[number][rows] for number in numbers])
            draws = random.select(rows) if numbers[0] else random  # no image has left at first
            if len(numbers) > 1:
                draws = Draws.joined([draws] * len(numbers))
            return self._ascend(view, aims, epsilon, draws)

        return runs_in_lanes(victim, images, len(runs), ascend)

    def _ascend(self, victim: Query, aims: Tensor, epsilon: float, random: Draws) -> Tensor:
        """The last iterates of one start, not yet shown to the victim; with `eot`, the best."""
        images = victim.images
        ball = Ball(images, epsilon, self.norm)
        surface = Surface(LOSSES[self.loss][aims.dim() - 1], self.eot)
        start = ball.shifted(_on_the_surface(random, images.shape[1:], self.norm))
        state = _Ascent.begin(start, *surface(victim, start, aims), step_size=2.0 * epsilon)
        final = start.clone()
        rows = torch.arange(len(images), device=images.device)
        checks = _checkpoints(self.steps)
        last_check = 0
        for step in range(1, self.steps + 1):
            kept = victim.kept()
            if kept is not None:
                rows, aims, state = rows[kept], aims[kept], state.select(kept)
                victim, ball = victim.select(kept), ball.select(kept)
                if len(rows) == 0:
                    break
            state.move(ball, self.norm, momentum=step > 1)
            if step == self.steps and self.eot == 1:
                break
            state.record(*surface(victim, state.current, aims))
            if step in checks:
                state.check(self.rho * (step - last_check))
                last_check = step
        final[rows] = state.current if self.eot == 1 else state.best
        return final


class APGDTargeted(APGD):
    """APGD on the targeted difference of logits ratio, towards one class after another.

    Croce & Hein 2020, section 4, equation 7: an ascent towards each of the `targets` classes,
    other than the label, of the highest logits at the clean image, on the images that still
    stand. With two or three classes, where that ratio is not defined, on the margin to the
    target instead.
    """

    name = "apgd-t"

    def __init__(
        self,
        *,
        norm: Norm = "linf",
        targets: int = 9,
        steps: int = 100,
        restarts: int = 1,
        rho: float = 0.75,
        eot: int = 1,
    ) -> None:
        super().__init__(
            norm=norm, loss="dlr", steps=steps, restarts=restarts, rho=rho, eot=eot
        )
        self.targets = check_steps(targets, "targets")

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        others = victim.logits(images).scatter(1, labels[:, None], float("-inf"))
        order = others.argsort(dim=1, descending=True, stable=True)[:, :-1]
        runs = [
            torch.stack([labels, target], dim=1)
            for target in order[:, : self.targets].unbind(dim=1) for _ in range(self.restarts)
        ]
        return self._ascents(victim, images, runs, epsilon, random)


@dataclass
class _Ascent:
    """Where N ascents are. Images N×C×H×W; the rest of length N, `step_size` N×1×1×1.

    `rises` counts steps that raised the loss since the last checkpoint; there the best loss was
    `checked`, and `halved` says whose step was halved.
    """

    current: Tensor
    previous: Tensor
    gradient: Tensor
    loss: Tensor
    best: Tensor
    best_gradient: Tensor
    best_loss: Tensor
    checked: Tensor
    rises: Tensor
    halved: Tensor
    step_size: Tensor

    @classmethod
    def begin(cls, start: Tensor, loss: Tensor, gradient: Tensor, *, step_size: float) -> Self:
        return cls(
            current=start, previous=start, gradient=gradient, loss=loss, best=start,
            best_gradient=gradient, best_loss=loss, checked=loss, rises=torch.zeros_like(loss),
            # At the first checkpoint the best loss is not compared.
            halved=torch.ones_like(loss, dtype=torch.bool),
            step_size=start.new_full((len(start), 1, 1, 1), step_size),
        )

    def select(self, rows: Tensor) -> _Ascent:
        return _Ascent(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})

    def move(self, ball: Ball, norm: Norm, *, momentum: bool) -> None:
        step = self.step_size * ascent_direction(self.gradient, norm)
        proposed = ball.project(self.current + step)
        if momentum:
            drift = (1 - _MOMENTUM) * (self.current - self.previous)
            proposed = ball.project(
                self.current + _MOMENTUM * (proposed - self.current) + drift
            )
        self.previous, self.current = self.current, proposed

    def record(self, loss: Tensor, gradient: Tensor) -> None:
        """Take note of loss and gradient at the current point."""
        self.rises = self.rises + (loss > self.loss)
        self.loss, self.gradient = loss, gradient
        better = loss > self.best_loss
        wide = better[:, None, None, None]
        self.best = torch.where(wide, self.current, self.best)
        self.best_gradient = torch.where(wide, gradient, self.best_gradient)
        self.best_loss = torch.where(better, loss, self.best_loss)

    def check(self, enough: float) -> None:
        """A checkpoint: more than `enough` steps should have raised the loss."""
        stuck = ~self.halved & (self.best_loss <= self.checked)
        self.halved = (self.rises <= enough) | stuck
        self.checked, self.rises = self.best_loss, torch.zeros_like(self.rises)
        wide = self.halved[:, None, None, None]
        self.step_size = torch.where(wide, self.step_size / 2.0, self.step_size)
        self.current = torch.where(wide, self.best, self.current)
        self.gradient = torch.where(wide, self.best_gradient, self.gradient)


def _checkpoints(steps: int) -> set[int]:
    """The steps after which progress is checked, in whole steps as the authors' code has them."""
    interval, less, least = (max(int(share * steps), 1) for share in (_FIRST, _LESS, _LEAST))
    checks, step = set(), interval
    while step <= steps:
        checks.add(step)
        interval = max(interval - less, least)
        step += interval
    return checks


def _on_the_surface(random: Draws, shape: torch.Size, norm: Norm) -> Tensor:
    """A random point on the surface of the unit ball of `norm` for each image."""
    if norm == "linf":
        uniform = random.uniform(*shape, low=-1.0, high=1.0)
        return uniform / uniform.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
    return ascent_direction(random.normal(*shape), norm)
