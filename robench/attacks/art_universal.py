"""Attacks of ART that learn one perturbation for all images."""

from __future__ import annotations

import time
import traceback
import warnings
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from robench.attacks.art import ORDERS
from robench.attacks.art_classifier import (
    EndedError,
    apart,
    art_classifier,
    seed_generators,
    tied,
)
from robench.attacks.balls import Norm
from robench.attacks.draws import Draws
from robench.attacks.learning import LearnedAttack
from robench.attacks.query import Query
from robench.attacks.result import AttackResult
from robench.attacks.settings import check_norm, check_number, check_steps, check_word
from robench.attacks.targets import target_classes
from robench.attacks.universal import inside
from robench.victim import Victim

_SET = {"batch_size", "norm", "num_random_init", "summary_writer", "targeted", "verbose"}
"""Settings of ART's attacks within which are robench's."""
Attacker = Literal["deepfool", "carlini", "ead", "fgsm"]


class _Lessons:
    """The images that ART learns from, as its classifier shows them to a victim.

    `dead` where gradients were asked for, and all of them were zero.
    """

    def __init__(self, victim: Victim, images: Tensor) -> None:
        self.images = images
        self._victim = victim
        self._seen, self._alive = False, False

    @property
    def dead(self) -> bool:
        return self._seen and not self._alive

    def __len__(self) -> int:
        return len(self.images)

    def __call__(self, images: Tensor) -> Tensor:
        if images.requires_grad and torch.is_grad_enabled():
            images = images.view_as(images)
            images.register_hook(self._note)  # type: ignore[no-untyped-call]
        logits: Tensor = self._victim(images)
        return logits

    def _note(self, gradient: Tensor) -> None:
        self._victim.note_gradients(~torch.isfinite(gradient.flatten(1)).all(dim=1))
        self._seen, self._alive = True, self._alive or bool(gradient.any())


class _Universal(LearnedAttack):
    """ART goes through the images that it learns from, one after the other in an order of its
    own; where one has not what is wanted, `attacker`, another attack of ART with
    `attacker_params`, gives a step, which is added to the perturbation and cut to the ball. It
    ends when all but a share of `delta` have it, or after `max_iter` rounds.

    With `time_limit_s`, learning at an epsilon is ended at the first pass that would begin after
    so many seconds for each image that it learns from. The perturbation so far counts, and a
    RuntimeWarning says so: it depends on the speed of the machine.
    """

    art: ClassVar[str]
    norm: Norm
    attacker: str
    attacker_params: Mapping[str, Any]
    delta: float
    max_iter: int
    time_limit_s: float | None
    target: int | None = None

    def _set(
        self, norm: Norm, attacker_params: Mapping[str, Any] | None, delta: float, max_iter: int,
        images: int, time_limit_s: float | None,
    ) -> None:
        self.norm = check_norm(norm)
        if time_limit_s is not None:
            check_number(time_limit_s, "time_limit_s", open_low=True)
        self.time_limit_s = time_limit_s
        given = {} if attacker_params is None else attacker_params
        if not isinstance(given, Mapping):
            raise ValueError(  # noqa: TRY004 (as for all settings)
                f"attacker_params: got {given!r}, expected settings by name, or null"
            )
        self.attacker_params = dict(given)
        self.delta = check_number(delta, "delta", high=1.0)
        self.max_iter = check_steps(max_iter, "max_iter")
        self.images = check_steps(images, "images")
        self._dead: dict[float, bool] = {}

    @abstractmethod
    def _aims(self, logits: Tensor, labels: Tensor, random: Draws) -> Tensor | None:
        """What ART is given as `y`, int64 of length N, or None."""

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        return images + self.learned(epsilon).to(images.device)

    def learn(
        self, victim: Victim, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        if epsilon < torch.finfo(torch.float32).tiny:  # ART refuses 0
            return torch.zeros_like(images[0])
        logits = victim.logits(images)
        classes = logits.shape[1]
        aims = self._aims(logits, labels, random)
        rows = None if aims is None else np.eye(classes, dtype=np.float32)[aims.cpu().numpy()]
        lessons = _Lessons(victim, images)
        limit = self.time_limit_s
        deadline = None if limit is None else time.monotonic() + limit * len(images)
        with apart(images.device), tied(victim), torch.enable_grad():
            seed_generators(random.seeds()[0], images.device)
            classifier = art_classifier(lessons, num_classes=classes, deadline=deadline)
            made = self._made(classifier, epsilon)
            try:
                made.generate(x=images.cpu().numpy(), y=rows)
                found, reason = made.noise, None
            except EndedError as error:
                found, reason = _so_far(made, error), str(error)
        if reason is not None:
            warnings.warn(
                f"{self.name}: ended early by {reason} as it learned from {len(images)} images at "
                f"epsilon {epsilon:g}; its perturbation so far counts", RuntimeWarning,
                stacklevel=2,
            )
        victim.settle()
        self._dead[epsilon] = lessons.dead
        if found is None:
            return torch.zeros_like(images[0])
        noise = torch.as_tensor(np.array(found), dtype=torch.float32, device=images.device)
        return inside(noise.reshape(1, *images.shape[1:]), epsilon, self.norm)[0]

    def _attempt(
        self, victim: Victim, images: Tensor, labels: Tensor, *, epsilon: float, **known: Any
    ) -> AttackResult:
        result = super()._attempt(victim, images, labels, epsilon=epsilon, **known)
        dead = self._dead.get(epsilon, False)  # what is asked for gradients is asked in `learn`
        return replace(result, gradient_dead=torch.full_like(result.gradient_dead, dead))

    def _made(self, classifier: Any, epsilon: float) -> Any:
        from art.attacks import evasion

        made = getattr(evasion, self.art)(
            classifier, attacker=self.attacker, delta=float(self.delta), max_iter=self.max_iter,
            eps=epsilon, norm=ORDERS[self.norm],
        )
        if "verbose" in made.attack_params:
            made.set_params(verbose=False)
        attacker = type(made._get_attack(self.attacker))
        known = set(attacker.attack_params)
        strange = sorted(set(self.attacker_params) - (known - _SET))
        if strange:
            raise ValueError(f"attacker_params: got {', '.join(strange)}, expected settings of "
                             f"ART's {attacker.__name__}: {', '.join(sorted(known - _SET))}")
        own = {"verbose": False, "eps": epsilon, "norm": ORDERS[self.norm],
               "targeted": self.target is not None}
        made.attacker_params = {
            **{name: value for name, value in own.items() if name in known},
            **self.attacker_params,
        }
        return made


def _so_far(made: Any, error: EndedError) -> Any:
    """The perturbation of one of ART's attacks that was ended, or None where it had none yet: ART
    has it in a local variable of `generate` until it is done."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name == "generate" and frame.f_locals.get("self") is made:
            return frame.f_locals.get("noise")
    return None


class ArtUniversal(_Universal):
    """ART's UniversalPerturbation: away from the network's predictions.

    Moosavi-Dezfooli et al. 2017 (arXiv 1610.08401), algorithm 1. `attacker_params` are those of
    ART's class; where it has an `eps`, that is ε unless it is given. It looks at predictions,
    never at labels.
    """

    name = "art/universal-perturbation"
    art = "UniversalPerturbation"

    def __init__(
        self, *, norm: Norm = "linf", attacker: Attacker = "deepfool",
        attacker_params: Mapping[str, Any] | None = None, delta: float = 0.2, max_iter: int = 20,
        images: int = 1000, time_limit_s: float | None = None,
    ) -> None:
        self._set(norm, attacker_params, delta, max_iter, images, time_limit_s)
        self.attacker = check_word(attacker, "attacker", ("deepfool", "carlini", "ead", "fgsm"))

    def _aims(self, logits: Tensor, labels: Tensor, random: Draws) -> None:
        return None


class ArtTargetedUniversal(_Universal):
    """ART's TargetedUniversalPerturbation: towards the class `target`, by its targeted FGSM.

    Hirano and Takemoto 2020 (arXiv 1911.06502), algorithm 1. Images whose class it is, of those
    that are learned from, get the next one.
    """

    name = "art/targeted-universal-perturbation"
    art = "TargetedUniversalPerturbation"
    attacker = "fgsm"

    def __init__(
        self, *, norm: Norm = "linf", target: int = 0,
        attacker_params: Mapping[str, Any] | None = None, delta: float = 0.2, max_iter: int = 20,
        images: int = 1000, time_limit_s: float | None = None,
    ) -> None:
        self._set(norm, attacker_params, delta, max_iter, images, time_limit_s)
        if isinstance(target, bool) or not isinstance(target, int) or target < 0:
            raise ValueError(f"target: got {target!r}, expected a class number")
        self.target = target

    def _aims(self, logits: Tensor, labels: Tensor, random: Draws) -> Tensor:
        assert self.target is not None
        return target_classes(self.target, logits, labels, random)
