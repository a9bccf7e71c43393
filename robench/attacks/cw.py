"""The attack of Carlini & Wagner in L2: a margin against the distance, in tanh space."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from robench.attacks.base import Attack
from robench.attacks.boundaries import dot
from robench.attacks.draws import Draws
from robench.attacks.losses import margin
from robench.attacks.query import Query
from robench.attacks.settings import check_number, check_steps
from robench.attacks.targets import Target, check_target, target_classes
from robench.attacks.tradeoff import Tradeoff

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8  # Adam's
_INSIDE = 0.999999  # the box in tanh space, so that black and white are not at infinity
_PROGRESS = 0.9999  # an end before its time where the loss is not below this share of the last
_REPEATED = 10  # with so many searches, the last repeats the best constant


class CW(Attack):
    """Adam on the squared distance plus c times the margin, and a binary search over c.

    Carlini & Wagner 2017 (arXiv 1608.04644), sections V and VI.A: the variable is w with
    x' = (tanh w + 1)/2, the objective ‖x' − x‖² + c·max(margin + `confidence`, 0). Each of
    `binary_search_steps` values of c, from `initial_const` on, gets a descent of `steps` from the
    image; c rises tenfold until one succeeds. With `abort_early` a descent ends when a tenth of
    the steps did not bring the objective down by 1e-4 of itself. `target`: towards a class chosen
    at the clean image, see `robench.attacks.targets`; None goes away from the label.

    Every image has its own c, its own Adam and its own end: what another one does in the
    meantime changes nothing.
    """

    name = "cw"
    norm = "l2"
    budget = "minimum"

    def __init__(
        self,
        *,
        steps: int = 10000,
        binary_search_steps: int = 9,
        confidence: float = 0.0,
        initial_const: float = 1e-3,
        learning_rate: float = 0.01,
        abort_early: bool = True,
        target: Target | None = None,
    ) -> None:
        self.steps = check_steps(steps)
        self.binary_search_steps = check_steps(binary_search_steps, "binary_search_steps")
        self.confidence = check_number(confidence, "confidence")
        self.initial_const = check_number(initial_const, "initial_const", open_low=True)
        self.learning_rate = check_number(learning_rate, "learning_rate", open_low=True)
        if type(abort_early) is not bool:
            raise ValueError(f"abort_early: got {abort_early!r}, expected true or false")
        self.abort_early = abort_early
        self.target = None if target is None else check_target(target)

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        classes = labels
        if self.target is not None:
            classes = target_classes(self.target, victim.logits(images), labels, random)
        final, victim = images.clone(), victim.apart()
        state = _Descent.start(images, classes, self.initial_const)
        # How many steps nobody is done before.
        together = 1 if self.abort_early else self.steps
        while len(state.rows):
            kept = victim.going_on(
                state.search < self.binary_search_steps, waiting=not self.abort_early
            )
            if kept is not None:
                final[state.rows] = state.point()[0]
                victim, state = victim.select(kept), state.select(kept)
                continue
            for _ in range(together):
                self._advance(victim, state)
        return final

    def _advance(self, victim: Query, state: _Descent) -> None:
        """One pass of the network, and what follows from it for every image."""
        point, tanh = state.point()
        logits, slope = victim.logits_and_gradient(point, self._excess, aims=state.classes)
        excess = self._signed(logits, state.classes)
        state.reached |= excess < 0
        offset = point - state.anchor
        const = state.tradeoff.value
        loss = dot(offset, offset) + const * excess.clamp_min(0.0)
        ended = torch.zeros_like(state.reached)
        if self.abort_early:
            checked = state.step % -(-self.steps // 10) == 0
            ended = checked & (loss > _PROGRESS * state.checked_loss)
            state.checked_loss = torch.where(checked, loss, state.checked_loss)
        inner = ((1 - tanh.square()) / 2).float()
        state.adam((2 * offset + const[:, None, None, None] * slope) * inner, self.learning_rate)
        ended |= state.step >= self.steps
        ended |= state.search >= self.binary_search_steps  # those that are done stay where they are
        state.restart(ended, repeat_at=self.binary_search_steps - 1)

    def _signed(self, logits: Tensor, classes: Tensor) -> Tensor:
        """By how much the margin is short of what is wanted; below 0 where it is reached."""
        away = margin(logits, classes)
        return (away if self.target is None else -away) + self.confidence

    def _excess(self, logits: Tensor, classes: Tensor) -> Tensor:
        return self._signed(logits, classes).clamp_min(0.0)


@dataclass
class _Descent:
    """N descents; `rows` are their images in the batch.

    `origin` is the image in tanh space, `anchor` its pixels from there, and `offset` the way from
    `origin`, with the moments `mean` and `square`; `step` N counts Adam's steps in this search,
    `search` N the searches that have ended, `reached` N says whether this one succeeded,
    `checked_loss` N is the objective at the last check.
    """

    rows: Tensor
    classes: Tensor
    origin: Tensor
    anchor: Tensor
    offset: Tensor
    mean: Tensor
    square: Tensor
    step: Tensor
    search: Tensor
    reached: Tensor
    checked_loss: Tensor
    tradeoff: Tradeoff

    @classmethod
    def start(cls, images: Tensor, classes: Tensor, initial: float) -> _Descent:
        rows = torch.arange(len(images), device=images.device)
        none = torch.zeros_like(images)
        origin = ((2 * images.double() - 1) * _INSIDE).atanh().float()
        return cls(
            rows=rows, classes=classes, origin=origin, anchor=_pixels(origin)[0], offset=none,
            mean=none, square=none, step=torch.zeros_like(rows),
            search=torch.zeros_like(rows), reached=torch.zeros_like(rows, dtype=torch.bool),
            checked_loss=torch.full(rows.shape, torch.inf, device=images.device),
            tradeoff=Tradeoff.start(len(images), initial, images.device),
        )

    def point(self) -> tuple[Tensor, Tensor]:
        """The iterates as float32 pixels, and their tanh in float64."""
        return _pixels(self.origin + self.offset)

    def adam(self, gradient: Tensor, learning_rate: float) -> None:
        """A step of Adam, each image with the bias correction of its own number of steps."""
        self.step = self.step + 1
        self.mean = _BETA1 * self.mean + (1 - _BETA1) * gradient
        self.square = _BETA2 * self.square + (1 - _BETA2) * gradient.square()
        first, second = (
            (1 - beta ** self.step.double()).float()[:, None, None, None]
            for beta in (_BETA1, _BETA2)
        )
        size = (self.square / second).sqrt() + _EPSILON
        self.offset = self.offset - learning_rate * (self.mean / first) / size

    def restart(self, ended: Tensor, *, repeat_at: int) -> None:
        """Where a search has ended, the next one from the image."""
        self.tradeoff.update(ended, self.reached)
        self.search = self.search + ended
        if repeat_at >= _REPEATED - 1:
            self.tradeoff.repeat_best(ended & (self.search == repeat_at))
        wide = ended[:, None, None, None]
        for name in ("offset", "mean", "square"):
            setattr(self, name, getattr(self, name).masked_fill(wide, 0.0))
        self.step = self.step.masked_fill(ended, 0)
        self.reached = self.reached & ~ended
        self.checked_loss = self.checked_loss.masked_fill(ended, torch.inf)

    def select(self, rows: Tensor) -> _Descent:
        parts: dict[str, Any] = {}
        for item in fields(self):
            part = getattr(self, item.name)
            parts[item.name] = part.select(rows) if isinstance(part, Tradeoff) else part[rows]
        return _Descent(**parts)


def _pixels(space: Tensor) -> tuple[Tensor, Tensor]:
    # In float64: the last bit of a float32 tanh depends on how many rows share the call.
    tanh = space.double().tanh()
    return ((tanh + 1) / 2).float(), tanh
