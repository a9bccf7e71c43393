"""The Jacobian-based saliency map attack: few features changed, two at a time."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from robench.attacks.base import Attack
from robench.attacks.draws import Draws
from robench.attacks.glance import Lookout
from robench.attacks.jsma_runs import Runs
from robench.attacks.losses import broken
from robench.attacks.query import Query
from robench.attacks.saliency import best_pairs, best_pairs_of
from robench.attacks.settings import check_steps
from robench.attacks.targets import Target, check_target, target_classes
from robench.device import reading_waits

_WIDTH = 512
"""How many features may be in the pairs of a step, at first, where reading their number waits."""

Direction = Literal["increasing", "decreasing"]
Ranked = Literal["all", "likeliest"]


class JSMA(Attack):
    """Changes, step by step, the pair of features that helps a target class most.

    Papernot et al. 2016 (arXiv 1511.07528), algorithms 2 and 3, on the Jacobian of the logits. A
    feature is a pixel's value in one channel. A step moves the best pair of the saliency map by
    `theta` up ("increasing") or down, within [0,1]; one that is at the end of the box leaves the
    search, and so does one that was changed `changes_per_feature` times (None: any number). At
    most a share `gamma` of the features is changed: once so many are, the search goes on among
    those. `max_steps` ends a run of its own accord (None: it ends by itself).

    `target` "all" runs towards every other class, the likeliest first, and keeps the
    adversarial image of the fewest pixels; "likeliest" makes the first of these runs only. A run
    ends as soon as the image is broken, whichever the class, and as soon as it would change as
    many pixels as the best before it: pixels once changed stay changed, so it can find nothing
    nearer.

    With `pairs_per_step` above 1, so many changes of a pair are made by one Jacobian: the best
    pair until one of its features leaves the search, then the best of the others, and so on; with
    `disjoint`, of so many pairs that share no feature, once each. Where such a step breaks the
    image, and its first pair alone changes fewer pixels, the first half of it is made instead, and
    the run goes on with half as many.
    """

    name = "jsma"
    version = 3
    norm = "l0"
    budget = "minimum"

    def __init__(
        self,
        *,
        theta: float = 0.1,
        gamma: float = 0.14,
        direction: Direction = "increasing",
        changes_per_feature: int | None = None,
        max_steps: int | None = None,
        pairs_per_step: int = 1,
        disjoint: bool = False,
        target: Target | Ranked = "all",
    ) -> None:
        self.theta = _check_number("theta", theta, least=0.001)
        self.gamma = _check_number("gamma", gamma, least=0.0)
        if direction not in ("increasing", "decreasing"):
            raise ValueError(f"direction: got {direction!r}, expected increasing or decreasing")
        self.direction = direction
        self.changes_per_feature = (
            None if changes_per_feature is None
            else check_steps(changes_per_feature, "changes_per_feature")
        )
        self.max_steps = None if max_steps is None else check_steps(max_steps, "max_steps")
        self.pairs_per_step = check_steps(pairs_per_step, "pairs_per_step")
        if type(disjoint) is not bool:
            raise ValueError(f"disjoint: got {disjoint!r}, expected true or false")
        self.disjoint = disjoint
        self.target = _check_target(target)

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        features = images[0].numel()
        budget = math.floor(self.gamma * features + 1e-9)
        if budget < 2:
            raise ValueError(f"gamma: got {self.gamma:g}, which is {budget} of the {features} "
                             "features of an image; expected a pair of them or more")
        targets = self._targets(victim.clean_logits(), labels, random)
        final, victim = images.clone(), victim.apart()
        runs = Runs.start(images, targets, pairs=self.pairs_per_step)
        search = _Search(self.pairs_per_step, disjoint=self.disjoint, features=features)
        while len(runs.rows):
            logits, gain, relief = self._slopes(victim, runs)
            stalled = self._step(
                runs, broken(logits, victim.labels), gain, relief, budget, search
            )
            kept = victim.going_on(runs.turn < targets.shape[1], stalled=stalled)
            if kept is not None:
                final[runs.rows] = runs.current
                runs, victim = runs.select(kept), victim.select(kept)
        return final

    def _targets(self, logits: Tensor, labels: Tensor, random: Draws) -> Tensor:
        """The classes to run towards, in their order, N×T."""
        if self.target == "all" or self.target == "likeliest":
            others = logits.scatter(1, labels[:, None], float("-inf"))
            ranked = others.argsort(dim=1, descending=True, stable=True)[:, :-1]
            return ranked if self.target == "all" else ranked[:, :1]
        return target_classes(self.target, logits, labels, random)[:, None]

    def _slopes(self, victim: Query, runs: Runs) -> tuple[Tensor, Tensor, Tensor]:
        """(logits, gain, relief), the latter N×P as `best_pairs` takes them.

        One pass forth and two back: towards the target's logit, and towards the sum of the
        others.
        """
        logits, (toward, away) = victim.logits_and_gradients(
            runs.current, [_aimed_at, _others], aims=runs.target()
        )
        gain, others = toward.flatten(1), away.flatten(1)
        if logits.shape[1] == 2:
            # A single logit z comes as (0, z), whose first class has no gradient to follow. The
            # same probabilities as (−z/2, z/2) have one.
            constant = (gain == 0).all(dim=1) | (others == 0).all(dim=1)
            half = (gain - others) / 2
            gain = torch.where(constant[:, None], half, gain)
            others = torch.where(constant[:, None], -half, others)
        sign = 1.0 if self.direction == "increasing" else -1.0
        return logits, sign * gain, -sign * others

    def _step(
        self, runs: Runs, hit: Tensor, gain: Tensor, relief: Tensor, budget: int, search: _Search
    ) -> Tensor | None:
        """What follows for each run from where it stands: a step on, a shorter one instead of the
        last, or its end. Gives those that have to wait for a wider search."""
        going = runs.turn < runs.targets.shape[1]
        hit = hit & going
        places = runs.places(runs.changes)
        runs.nearest = torch.where(hit, torch.minimum(runs.nearest, places), runs.nearest)
        # Whatever is changed in its place, its first pair comes first: nothing nearer follows.
        back = hit & (runs.pairs > 1) & (places > runs.least)
        new = going & ~hit
        room = self._room(runs, budget).masked_fill(~new[:, None], 0)
        pairs, times, stalled = search(gain, relief, room)
        runs.plan(~back, pairs, times)
        runs.go_back(back)
        times = self._affordable(runs, budget)
        often = times.repeat_interleave(2, dim=1).to(runs.changes.dtype)
        index = runs.planned.flatten(1).clamp_min(0)
        first = runs.changes.scatter_add(1, index[:, :2], often[:, :2])
        changes = first.scatter_add(1, index[:, 2:], often[:, 2:])
        step = self.theta if self.direction == "increasing" else -self.theta
        moved = runs.flat + step * (changes - runs.changes)

        on = times.any(dim=1) & (runs.places(changes) < runs.nearest)
        if self.max_steps is not None:
            on &= runs.steps < self.max_steps
        end = going & ~on if stalled is None else going & ~on & ~stalled
        runs.advance(on, moved.clamp(0.0, 1.0), changes, least=runs.places(first), end=end)
        return stalled

    def _room(self, runs: Runs, budget: int) -> Tensor:
        """How often each feature may still be changed, whole numbers of float32 N×P."""
        ahead = 1.0 - runs.flat if self.direction == "increasing" else runs.flat
        # A feature that rounding leaves just short of the end is there but for one change.
        room = (ahead / self.theta - 1e-3).ceil().clamp_min(1).masked_fill(ahead <= 0, 0)
        if self.changes_per_feature is not None:
            room = room.minimum(self.changes_per_feature - runs.changes)
        changed = runs.changes > 0
        spent = changed.sum(dim=1) > budget - 2
        return room.masked_fill(~changed & spent[:, None], 0)

    def _affordable(self, runs: Runs, budget: int) -> Tensor:
        """How often each of the planned pairs is changed at this step, int64 N×M.

        The first pair is, in any case; then so many more that the run stays within the budget,
        nearer than the best before it, and within its number of changes.
        """
        pairs, times = runs.planned, runs.times
        before = times.cumsum(dim=1) - times
        times = times.minimum((runs.pairs[:, None] - before).clamp_min(0))
        chosen = runs.changes.gather(1, pairs.flatten(1).clamp_min(0)).reshape(pairs.shape)
        new = ((chosen == 0) & (times > 0)[..., None]).sum(dim=2).cumsum(dim=1)
        fits = new + (runs.changes > 0).sum(dim=1)[:, None] <= budget
        fits &= new + runs.places(runs.changes)[:, None] < runs.nearest[:, None]
        fits[:, 0] = True
        return times.masked_fill(~fits, 0)


class _Search:
    """The pairs of each step, in a width that is known to do where reading it would wait."""

    def __init__(self, pairs: int, *, disjoint: bool, features: int) -> None:
        self._pairs, self._disjoint = pairs, disjoint
        self._width = min(_WIDTH, features)
        self._features = features
        self._lookout = Lookout()

    def __call__(
        self, gain: Tensor, relief: Tensor, room: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """(pairs, times, which rows have more candidates than can be looked at yet)."""
        if not reading_waits(gain.device):
            return *best_pairs(
                gain, relief, room, changes=self._pairs, disjoint=self._disjoint
            ), None
        pairs, times, many = best_pairs_of(
            self._width, gain, relief, room, changes=self._pairs, disjoint=self._disjoint
        )
        stalled = self._lookout.rows(lambda: many, many.device)
        if stalled is not None and len(stalled):
            self._width = min(2 * self._width, self._features)
        return pairs, times, many


def _aimed_at(logits: Tensor, targets: Tensor) -> Tensor:
    return logits.gather(1, targets[:, None])[:, 0]


def _others(logits: Tensor, targets: Tensor) -> Tensor:
    return logits.scatter(1, targets[:, None], 0.0).sum(dim=1)


def _check_target(target: Target | Ranked) -> Target | Ranked:
    if target == "all" or target == "likeliest":
        return target
    try:
        return check_target(target)
    except ValueError as error:
        raise ValueError(f"{error}; or all, or likeliest") from None


def _check_number(name: str, value: float, *, least: float) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and least <= value <= 1 and value > 0):
        low = f"from {least:g}" if least else "above 0"
        raise ValueError(f"{name}: got {value!r}, expected a number {low} to 1")
    return value
