"""Attacks of the Adversarial Robustness Toolbox (ART), in its PyTorch implementation.

ART runs on a view of the victim, so its passes are counted and its best iterate is kept as with
any attack; the passes that ART makes only for its own log count too. The three attacks here mean
the same as the native ones of the same name and take the same settings, by the same names.
"""

from __future__ import annotations

import time
import warnings
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from robench.attacks.art_classifier import (
    EndedError,
    NoStartError,
    apart,
    art_classifier,
    seed_generators,
    tied,
)
from robench.attacks.balls import Norm
from robench.attacks.base import Attack
from robench.attacks.draws import Draws
from robench.attacks.log import OutOfBudgetError
from robench.attacks.query import Query
from robench.attacks.result import AttackResult
from robench.attacks.settings import check_norm, check_number, check_step_size, check_steps
from robench.attacks.targets import Target, check_target, target_classes
from robench.victim import Victim

ORDERS = {"linf": np.inf, "l1": 1, "l2": 2}
"""What ART calls the norms."""


class ArtAttack(Attack):
    """An evasion attack of ART on all images in one batch, so that its row k is image k.

    A subclass implements `build`. One that draws random numbers, or whose images would share
    decisions, sets `one_by_one`: ART has one generator and one loop for all images, so it is
    then run on one image at a time, each with its own seed. That is slow, but no image's result
    depends on its batch.

    With `time_limit_s`, the search is ended at the first pass that would begin after so many
    seconds for each image of a run. The best iterate so far counts, and a RuntimeWarning says of
    how many images that is true: their results depend on the speed of the machine.
    """

    one_by_one: bool = False
    probabilities: bool = False
    time_limit_s: float | None = None
    target: Target | None = None
    """The class to steer to, as `robench.attacks.targets` has it: ART is then given targets."""

    art: ClassVar[str]
    """ART's name for the attack."""

    @abstractmethod
    def build(self, classifier: Any, *, epsilon: float, batch_size: int) -> Any:
        """ART's attack on `classifier`: an `art.attacks.EvasionAttack`."""

    def made_by(self) -> Any:
        """ART's class, or one derived from it that mends a fault."""
        from art.attacks import evasion

        return getattr(evasion, self.art)

    def num_classes(self, victim: Query) -> int:
        """How many classes ART is told of.

        An attack on the loss needs them only to write the labels as one-hot rows, so without a
        target the largest label will do, and costs no pass.
        """
        if self.chosen_target is not None:
            return victim.logits(victim.images).shape[1]
        return max(int(victim.labels.max()) + 1, 2)

    @property
    def chosen_target(self) -> Target | None:
        return self.target

    def aims(self, victim: Query, random: Draws) -> Tensor | None:
        """What ART is given as `y`, int64 of length N, or None: the labels, or the targets."""
        if self.chosen_target is None:
            return victim.labels
        return target_classes(
            self.chosen_target, victim.logits(victim.images), victim.labels, random
        )

    def finished(self, images: Tensor, returned: Tensor) -> Tensor:
        """What ART `returned` for `images`, made ready to be judged."""
        return returned

    def climb(
        self, victim: Victim, images: Tensor, labels: Tensor, **known: Any
    ) -> list[AttackResult]:
        with tied(victim):
            return super().climb(victim, images, labels, **known)

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        if epsilon < torch.finfo(torch.float32).tiny:  # ART refuses 0, and this is none in float32
            return images
        rows = torch.arange(len(images), device=images.device)
        parts = rows[:, None] if self.one_by_one and victim.rowwise else rows[None]
        seeds = random.seeds()
        aims, classes = self.aims(victim, random), self.num_classes(victim)
        found = images.clone()
        broken_off = torch.zeros_like(rows, dtype=torch.bool)
        ended: dict[str, int] = {}
        with apart(images.device):
            for part in parts:
                seed_generators(seeds[int(part[0])], images.device)
                try:
                    found[part] = self._run(
                        victim.select(part, alone=True), None if aims is None else aims[part],
                        classes, epsilon,
                    )
                except OutOfBudgetError:  # this image's; what was seen of it is in the log
                    broken_off[part] = True
                except EndedError as error:
                    broken_off[part] = not isinstance(error, NoStartError)
                    ended[str(error)] = ended.get(str(error), 0) + len(part)
        for reason, count in ended.items():
            warnings.warn(
                f"{self.name}: ended early by {reason} on {count} of {len(images)} images; their "
                "best iterates so far count", RuntimeWarning, stacklevel=2,
            )
        if self.access == "decision":  # what has somewhere to begin moves
            still = torch.eq(found, images).flatten(1).all(dim=1)
            victim.note_unstarted(still & ~broken_off)
        return found

    def _run(self, view: Query, aims: Tensor | None, classes: int, epsilon: float) -> Tensor:
        limit = self.time_limit_s
        classifier = art_classifier(
            view, num_classes=classes, probabilities=self.probabilities,
            deadline=None if limit is None else time.monotonic() + limit * len(view),
        )
        attack = self.build(classifier, epsilon=epsilon, batch_size=len(view))
        rows = None if aims is None else np.eye(classes, dtype=np.float32)[aims.cpu().numpy()]
        with torch.enable_grad():
            returned = attack.generate(x=view.images.cpu().numpy(), y=rows)
        if not np.isfinite(returned).all():
            raise EndedError("NaN or infinite pixels in ART's own arithmetic")
        fitted = torch.as_tensor(returned, dtype=torch.float32, device=view.images.device)
        return self.finished(view.images, fitted)


class ArtFGSM(ArtAttack):
    """ART's FastGradientMethod: the step ε·sign(∇ₓ J), or with `norm="l2"` ε·∇ₓ J / ‖∇ₓ J‖₂;
    with `target`, the step towards that class."""

    name = "art/fgsm"
    art: ClassVar[str] = "FastGradientMethod"

    def __init__(
        self, *, norm: Norm = "linf", target: Target | None = None,
        time_limit_s: float | None = None,
    ) -> None:
        self.norm = check_norm(norm)
        self.target, self.time_limit_s = _checked(target, time_limit_s)

    def build(self, classifier: Any, *, epsilon: float, batch_size: int) -> Any:
        return self.made_by()(
            classifier, norm=ORDERS[self.norm], eps=epsilon, targeted=self.target is not None,
            batch_size=batch_size, summary_writer=False,
        )


class ArtPGD(ArtAttack):
    """ART's ProjectedGradientDescent.

    `step_size` is in pixel units (for L2, the length of a step); None means 2.5·ε/`steps`. With
    `random_start` the first iterate is uniform in the ball, and ART attacks one image at a time.
    With `target`, the loss towards that class falls.
    """

    name = "art/pgd"
    art: ClassVar[str] = "ProjectedGradientDescent"

    def __init__(
        self,
        *,
        steps: int = 40,
        step_size: float | None = None,
        norm: Norm = "linf",
        random_start: bool = True,
        target: Target | None = None,
        time_limit_s: float | None = None,
    ) -> None:
        self.steps = check_steps(steps)
        self.step_size = check_step_size(step_size)
        self.norm = check_norm(norm)
        self.one_by_one = random_start
        self.target, self.time_limit_s = _checked(target, time_limit_s)

    def build(self, classifier: Any, *, epsilon: float, batch_size: int) -> Any:
        return self.made_by()(
            classifier, norm=ORDERS[self.norm], num_random_init=int(self.one_by_one),
            summary_writer=False, **self._common(epsilon, batch_size),
        )

    def _common(self, epsilon: float, batch_size: int) -> dict[str, Any]:
        return {
            "eps": epsilon, "eps_step": float(self.step_size or 2.5 * epsilon / self.steps),
            "max_iter": self.steps, "targeted": self.target is not None,
            "batch_size": batch_size, "verbose": False,
        }


class ArtBIM(ArtPGD):
    """ART's BasicIterativeMethod; with `norm="l2"`, which ART's constructor lacks, set on it."""

    name = "art/bim"
    art: ClassVar[str] = "BasicIterativeMethod"

    def __init__(
        self, *, steps: int = 40, step_size: float | None = None, norm: Norm = "linf",
        target: Target | None = None, time_limit_s: float | None = None,
    ) -> None:
        super().__init__(steps=steps, step_size=step_size, norm=norm, random_start=False,
                         target=target, time_limit_s=time_limit_s)

    def build(self, classifier: Any, *, epsilon: float, batch_size: int) -> Any:
        attack = self.made_by()(classifier, **self._common(epsilon, batch_size))
        attack.set_params(norm=ORDERS[self.norm])
        return attack


def _checked(
    target: Target | None, time_limit_s: float | None
) -> tuple[Target | None, float | None]:
    if time_limit_s is not None:
        check_number(time_limit_s, "time_limit_s", open_low=True)
    return None if target is None else check_target(target), time_limit_s
