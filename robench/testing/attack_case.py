"""An attack under test, and what its results must be anywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from robench.attacks.balls import Norm
from robench.attacks.base import Attack
from robench.attacks.result import AttackResult
from robench.freezing import frozen
from robench.testing.core import Violation, expect
from robench.testing.networks import Task, ordinary, pixels
from robench.testing.randomness import seeded
from robench.victim import Victim

# Measured in float64 on float32 pixels; the projection onto the L2 ball rounds inwards.
_ROUNDING = 1e-6
_LESSONS = 16


@dataclass(frozen=True)
class Case:
    """An attack, made anew by `make` (with settings that replace its own), and its standard run.

    `apart`: the settings to replace, by the name of a check.
    """

    make: Callable[..., Attack]
    traits: Mapping[str, Any]
    apart: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @cached_property
    def attack(self) -> Attack:
        return self.make()

    @property
    def norm(self) -> Norm:
        return self.attack.norm

    @cached_property
    def task(self) -> Task:
        """Eight grey images and ten classes."""
        return ordinary(self.norm)

    @property
    def epsilons(self) -> tuple[float, ...] | None:
        """None for an attack that keeps to no ball."""
        return _epsilons(self.task) if self.attack.bounded else None

    @cached_property
    def results(self) -> list[AttackResult]:
        return self.on(self.task)

    @property
    def climbing(self) -> list[AttackResult]:
        """The results by ascending epsilon."""
        return sorted(self.results, key=lambda result: result.epsilon)

    def on(
        self, task: Task, *, network: nn.Module | None = None, rows: Sequence[int] | None = None,
        global_seed: int = 0, check: str = "", epsilons: Sequence[float] | None = None,
    ) -> list[AttackResult]:
        """A fresh instance, with the settings of a `check`, on a task, or on some of its images,
        at three epsilons or at others."""
        chosen = slice(None) if rows is None else list(rows)
        if not self.attack.bounded:
            epsilons = None
        elif epsilons is None:
            epsilons = _epsilons(task)
        victim = task.network if network is None else network
        with seeded(global_seed):
            results = fitted(self.make(**self.apart.get(check, {})), task, victim)(
                victim, task.images[chosen].clone(), task.labels[chosen].clone(),
                epsilons=epsilons,
            )
        got = [getattr(result, "epsilon", None) for result in results]
        wanted = [math.inf] if epsilons is None else list(epsilons)
        expect(got == wanted, f"results for epsilons {got}", f"{wanted}")
        return results


def fitted(attack: Attack, task: Task, network: nn.Module | None = None) -> Attack:
    """`attack` ready for a task at its epsilons: where it learns, fitted on the task's lessons or
    on other images than the task's, under the labels that the task's network gives them."""
    if not attack.learns:
        return attack
    _, channels, side, _ = task.images.shape
    others = pixels(_LESSONS, channels, side, seed=1) if task.lessons is None else task.lessons
    with frozen(task.network):
        labels = Victim(task.network).logits(others).argmax(dim=1)
    return attack.fit(task.network if network is None else network, others, labels,
                      epsilons=_epsilons(task))


def check_inside(task: Task, results: Sequence[AttackResult], norm: Norm) -> None:
    """Raise a Violation for an adversarial image outside its ball or the box."""
    for result in results:
        at, adversarial = f"at epsilon {result.epsilon:g}", result.adversarial
        expect(adversarial.dtype == torch.float32 and adversarial.shape == task.images.shape,
               f"{adversarial.dtype} {list(adversarial.shape)} {at}",
               f"float32 {list(task.images.shape)}")
        expect(bool(torch.isfinite(adversarial).all()), f"NaN or infinite pixels {at}",
               "finite ones")
        low, high = float(adversarial.min()), float(adversarial.max())
        expect(low >= 0.0 and high <= 1.0, f"pixels in [{low:g}, {high:g}] {at}", "[0, 1]")
        away = _distances(task.images, adversarial, norm)
        limit = result.epsilon * (1 + _ROUNDING)
        expect(bool((away <= limit).all()), f"a {norm} distance of {float(away.max()):.8g} {at}",
               f"at most {result.epsilon:g}")


def check_true(task: Task, results: Sequence[AttackResult], norm: Norm) -> None:
    """Raise a Violation where a result says other than what is measured again."""
    victim = Victim(task.network)
    for result in results:
        at = f"at epsilon {result.epsilon:g}"
        away = _distances(task.images, result.adversarial, norm)
        expect(torch.allclose(result.distance.double(), away, rtol=1e-5, atol=1e-6),
               f"`distance` other than measured again {at}", "the distance of `adversarial`")
        with frozen(victim):
            prediction = victim.logits(result.adversarial).argmax(dim=1)
        expect(torch.equal(result.prediction, prediction), f"`prediction` other than the "
               f"network's {at}", "that of `adversarial`")
        broken = torch.ne(prediction, task.labels) & task.right
        expect(torch.equal(result.success, broken), f"{int(result.success.sum())} successes {at},"
               f" {int(broken.sum())} when the network is asked again",
               "success: right before, wrong after")


def difference(one: AttackResult, other: AttackResult) -> str | None:
    """The first thing that is not equal, bit for bit, except the time; None where all is."""
    for item in fields(AttackResult):
        left, right = getattr(one, item.name), getattr(other, item.name)
        if isinstance(left, Tensor) and not torch.equal(left, right):
            rows = torch.ne(left, right).flatten(1 if left.dim() > 1 else 0)
            rows = rows.any(dim=1) if rows.dim() > 1 else rows
            return f"`{item.name}` of {int(rows.sum())} of {len(rows)} images, " \
                   f"epsilon {one.epsilon:g}"
    return None


def check_same(one: Sequence[AttackResult], other: Sequence[AttackResult], when: str) -> None:
    """Raise a Violation where two runs differ."""
    for left, right in zip(one, other, strict=True):
        found = difference(left, right)
        if found:
            raise Violation(f"{when}, {found} came out differently; expected the same bits")


def _epsilons(task: Task) -> tuple[float, float, float]:
    """Not in order: results come in the order asked for."""
    return task.epsilon, 0.0, task.epsilon / 4


def _distances(images: Tensor, adversarial: Tensor, norm: Norm) -> Tensor:
    """In float64, by the definitions; not the code that attacks use."""
    delta = (adversarial.double() - images.double()).abs()
    if norm == "l0":
        return (delta.amax(dim=1) > 0).flatten(1).sum(dim=1).double()
    order = {"linf": float("inf"), "l2": 2.0, "l1": 1.0}[norm]
    away: Tensor = torch.linalg.vector_norm(delta.flatten(1), ord=order, dim=1)
    return away
