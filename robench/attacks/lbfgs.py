"""The first attack of all: box-constrained L-BFGS on a loss and the distance."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor

from robench.attacks.base import Attack
from robench.attacks.boundaries import dot, ranked_others
from robench.attacks.draws import Draws
from robench.attacks.losses import targeted_cross_entropy
from robench.attacks.query import Query
from robench.attacks.settings import check_number, check_steps
from robench.attacks.targets import Target, check_target, target_classes
from robench.attacks.tradeoff import Tradeoff

_ENOUGH = 1e-4  # of the decrease that the gradient promises, for a step to be taken
_FLAT = 1e-5  # no pixel may have a larger slope at an end
_PROGRESS = 1e-6  # nor the objective fall by more than this share of itself
_HALVINGS = 20  # of a step, until there is no progress to be made
_CURVED = 1e-8  # a change of gradient against the step, or nearly across it, is not remembered


class LBFGS(Attack):
    """Quasi-Newton steps in the box on the squared distance plus c times a cross-entropy.

    Szegedy et al. 2014 (arXiv 1312.6199), section 4.1: minimise ‖x' − x‖² + c·loss(x', target)
    over x' in [0,1], with the c, found by line search, that gives the nearest x' of the target
    class. Each of `binary_search_steps` values of c, from `initial_const` on, gets a run from the
    image that asks the network at most `steps` times; c rises tenfold until one succeeds.

    The minimiser is L-BFGS with `memory` pairs, projected on the box: pixels at its edge that the
    gradient pushes out stay where they are (Bertsekas 1982), and steps are halved until the
    objective falls enough (Armijo). Images run side by side, each with a memory, a step and an
    end of its own. `target` "likeliest" is the class, other than the label, of the highest logit
    at the clean image; for the others see `robench.attacks.targets`.
    """

    name = "lbfgs"
    norm = "l2"
    budget = "minimum"

    def __init__(
        self,
        *,
        steps: int = 100,
        binary_search_steps: int = 9,
        initial_const: float = 0.01,
        memory: int = 10,
        target: Target | Literal["likeliest"] = "likeliest",
    ) -> None:
        self.steps = check_steps(steps)
        self.binary_search_steps = check_steps(binary_search_steps, "binary_search_steps")
        self.initial_const = check_number(initial_const, "initial_const", open_low=True)
        self.memory = check_steps(memory, "memory")
        self.target = target if target == "likeliest" else _check_target(target)

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        clean = victim.logits(images)
        if self.target == "likeliest":
            targets = ranked_others(clean, labels)[:, 0]
        else:
            targets = target_classes(self.target, clean, labels, random)
        final, victim = images.clone(), victim.apart()
        aims = torch.stack([labels, targets], dim=1)
        state = _Runs.start(images, aims, self.initial_const, self.memory)
        while len(state.rows):
            done = state.search >= self.binary_search_steps
            kept = victim.going_on(~done)
            if kept is not None:
                final[state.rows] = state.trial
                victim, state = victim.select(kept), state.select(kept)
                continue
            logits, slope = victim.logits_and_gradient(
                state.trial, targeted_cross_entropy, aims=state.aims
            )
            state.judge(-targeted_cross_entropy(logits, state.aims), -slope, logits)
            # Those that are done stay at the image.
            state.next_search(state.ended | (state.asked >= self.steps) | done)
            state.propose()
        return final


@dataclass
class _Runs:
    """N minimisations; `rows` are their images in the batch, `aims` N×2 labels and targets.

    `current` is the iterate with its `value` N and `gradient`, `trial` the point to ask for, at
    `length` N times `direction`; a run without an iterate yet has an infinite `value`. `moves`
    and `bends` N×M×C×H×W remember steps and the changes of gradient along them, the latest first;
    zeros where there are none. `asked` N counts the passes of this run, `search` N the runs
    before it; `reached` N: `current` is of the target class.
    """

    rows: Tensor
    images: Tensor
    aims: Tensor
    current: Tensor
    trial: Tensor
    direction: Tensor
    gradient: Tensor
    value: Tensor
    length: Tensor
    moves: Tensor
    bends: Tensor
    asked: Tensor
    search: Tensor
    reached: Tensor
    ended: Tensor
    tradeoff: Tradeoff

    @classmethod
    def start(cls, images: Tensor, aims: Tensor, initial: float, memory: int) -> _Runs:
        rows = torch.arange(len(images), device=images.device)
        none, no = torch.zeros_like(images), torch.zeros_like(rows, dtype=torch.bool)
        number = torch.ones(rows.shape, device=images.device)
        history = images.new_zeros(len(images), memory, *images.shape[1:])
        return cls(
            rows=rows, images=images, aims=aims, current=images, trial=images, direction=none,
            gradient=none, value=number * torch.inf, length=number, moves=history, bends=history,
            asked=torch.zeros_like(rows), search=torch.zeros_like(rows), reached=no, ended=no,
            tradeoff=Tradeoff.start(len(images), initial, images.device),
        )

    def judge(self, loss: Tensor, slope: Tensor, logits: Tensor) -> None:
        """Take the trial points that are good enough, and see whose run has come to its end."""
        const = self.tradeoff.value
        offset = self.trial - self.images
        value = dot(offset, offset) + const * loss
        gradient = 2 * offset + const[:, None, None, None] * slope
        self.asked = self.asked + 1
        move, bend = self.trial - self.current, gradient - self.gradient
        first = torch.isinf(self.value)
        promised = dot(self.gradient, move)
        taken = first | (value <= self.value + _ENOUGH * promised)
        curved = taken & ~first & (dot(move, bend) > _CURVED * dot(bend, bend))
        wide = curved[:, None, None, None, None]
        self.moves = torch.where(wide, _pushed(self.moves, move), self.moves)
        self.bends = torch.where(wide, _pushed(self.bends, bend), self.bends)
        slow = taken & ~first & (self.value - value <= _PROGRESS * value.abs())
        stuck = ~taken & (self.length < 0.5**_HALVINGS)
        cube = taken[:, None, None, None]
        self.current = torch.where(cube, self.trial, self.current)
        self.gradient = torch.where(cube, gradient, self.gradient)
        self.value = torch.where(taken, value, self.value)
        self.reached = torch.where(taken, logits.argmax(dim=1).eq(self.aims[:, 1]), self.reached)
        steepest = (self.gradient * self._free()).flatten(1).abs().amax(dim=1)
        self.ended = slow | stuck | (taken & (steepest <= _FLAT))
        # At first as far as the gradient goes, but not farther than 1, as in L-BFGS-B.
        size = dot(self.gradient, self.gradient).sqrt().clamp_min(1e-12)
        fresh = torch.where(first, (1 / size).clamp_max(1.0), 1.0)
        self.length = torch.where(taken, fresh, self.length / 2)
        self._turn(taken)

    def _turn(self, taken: Tensor) -> None:
        """A new direction where the iterate is new, downhill in any case."""
        newton = self._newton()
        steepest = -self.gradient * self._free()
        downhill = dot(newton, self.gradient) < 0
        chosen = torch.where(downhill[:, None, None, None], newton, steepest)
        self.direction = torch.where(taken[:, None, None, None], chosen, self.direction)

    def _newton(self) -> Tensor:
        """Minus the inverse Hessian as remembered, times the gradient, of the free pixels."""
        free = self._free()
        moves, bends = self.moves * free[:, None], self.bends * free[:, None]
        way = -self.gradient * free
        memory = moves.shape[1]
        passed = []
        for place in range(memory):
            move, bend = moves[:, place], bends[:, place]
            curve = dot(move, bend)
            weight = torch.where(curve > _CURVED * dot(bend, bend), 1 / curve, 0.0)
            share = weight * dot(move, way)
            way = way - share[:, None, None, None] * bend
            passed.append((move, bend, weight, share))
        scale = torch.ones_like(self.value)
        for move, bend, weight, _ in reversed(passed):  # that of the latest pair there is
            scale = torch.where(weight > 0, dot(move, bend) / dot(bend, bend), scale)
        way = way * scale[:, None, None, None]
        for move, bend, weight, share in reversed(passed):
            way = way + (share - weight * dot(bend, way))[:, None, None, None] * move
        return way

    def _free(self) -> Tensor:
        """1 for pixels that may move, 0 for those that would be pushed out of the box."""
        out = (self.current <= 0) & (self.gradient > 0)
        out |= (self.current >= 1) & (self.gradient < 0)
        return (~out).to(self.current)

    def next_search(self, ended: Tensor) -> None:
        """Where a run has ended, one with another constant, from the image."""
        self.tradeoff.update(ended, self.reached)
        self.search = self.search + ended
        wide = ended[:, None, None, None]
        self.current = torch.where(wide, self.images, self.current)
        self.gradient = self.gradient.masked_fill(wide, 0.0)
        self.direction = self.direction.masked_fill(wide, 0.0)
        self.moves = self.moves.masked_fill(wide[:, None], 0.0)
        self.bends = self.bends.masked_fill(wide[:, None], 0.0)
        self.value = self.value.masked_fill(ended, torch.inf)
        self.asked = self.asked.masked_fill(ended, 0)
        self.reached = self.reached & ~ended

    def propose(self) -> None:
        step = self.length[:, None, None, None] * self.direction
        self.trial = (self.current + step).clamp(0.0, 1.0)

    def select(self, rows: Tensor) -> _Runs:
        parts: dict[str, Any] = {}
        for item in fields(self):
            part = getattr(self, item.name)
            parts[item.name] = part.select(rows) if isinstance(part, Tradeoff) else part[rows]
        return _Runs(**parts)


def _pushed(history: Tensor, latest: Tensor) -> Tensor:
    return torch.cat([latest[:, None], history[:, :-1]], dim=1)


def _check_target(target: Target) -> Target:
    try:
        return check_target(target)
    except ValueError as error:
        raise ValueError(f"{error}; or likeliest") from None
