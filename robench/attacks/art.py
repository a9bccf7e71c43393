"""Attacks of the Adversarial Robustness Toolbox (ART), in its PyTorch implementation.

ART runs on a view of the victim, so its passes are counted and its best iterate is kept as with
any attack; the passes that ART makes only for its own log count too. The three attacks here mean
the same as the native ones of the same name and take the same settings.
"""

from __future__ import annotations

import time
import warnings
from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robench.attacks.art_classifier import EndedError, apart, art_classifier, seed_generators
from robench.attacks.balls import Norm
from robench.attacks.base import Attack
from robench.attacks.draws import Draws
from robench.attacks.log import OutOfBudgetError
from robench.attacks.query import Query
from robench.attacks.settings import check_norm, check_step_size, check_steps

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

    @abstractmethod
    def build(self, classifier: Any, *, epsilon: float, batch_size: int) -> Any:
        """ART's attack on `classifier`: an `art.attacks.EvasionAttack`."""

    def num_classes(self, victim: Query) -> int:
        """How many classes ART is told of.

        An attack on the loss needs them only to write the labels as one-hot rows, so the
        largest label will do, and costs no pass.
        """
        return max(int(victim.labels.max()) + 1, 2)

    def aims(self, victim: Query, random: Draws) -> Tensor | None:
        """What ART is given as `y`, int64 of length N, or None: the labels."""
        return victim.labels

    def finished(self, images: Tensor, returned: Tensor) -> Tensor:
        """What ART `returned` for `images`, made ready to be judged."""
        return returned

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
        ended: dict[str, int] = {}
        with apart(images.device):
            for part in parts:
                seed_generators(seeds[int(part[0])], images.device)
                try:
                    found[part] = self._run(
                        victim.select(part), None if aims is None else aims[part], classes, epsilon
                    )
                except OutOfBudgetError:  # this image's; what was seen of it is in the log
                    continue
                except EndedError as error:
                    ended[str(error)] = ended.get(str(error), 0) + len(part)
        for reason, count in ended.items():
            warnings.warn(
                f"{self.name}: ended early by {reason} on {count} of {len(images)} images; their "
                "best iterates so far count", RuntimeWarning, stacklevel=2,
            )
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
    """ART's FastGradientMethod: the step ε·sign(∇ₓ J), or with `norm="l2"` ε·∇ₓ J / ‖∇ₓ J‖₂."""

    name = "art/fgsm"

    def __init__(self, *, norm: Norm = "linf") -> None:
        self.norm = check_norm(norm)

    def build(self, classifier: Any, *, epsilon: float, batch_size: int) -> Any:
        from art.attacks.evasion import FastGradientMethod

        return FastGradientMethod(
            classifier, norm=ORDERS[self.norm], eps=epsilon, batch_size=batch_size,
            summary_writer=False,
        )


class ArtPGD(ArtAttack):
    """ART's ProjectedGradientDescent.

    `step_size` is in pixel units (for L2, the length of a step); None means 2.5·ε/`steps`. With
    `random_start` the first iterate is uniform in the ball, and ART attacks one image at a time.
    """

    name = "art/pgd"

    def __init__(
        self,
        *,
        steps: int = 40,
        step_size: float | None = None,
        norm: Norm = "linf",
        random_start: bool = True,
    ) -> None:
        self.steps = check_steps(steps)
        self.step_size = check_step_size(step_size)
        self.norm = check_norm(norm)
        self.one_by_one = random_start

    def build(self, classifier: Any, *, epsilon: float, batch_size: int) -> Any:
        from art.attacks.evasion import ProjectedGradientDescent

        return ProjectedGradientDescent(
            classifier, norm=ORDERS[self.norm], eps=epsilon, eps_step=self._step(epsilon),
            max_iter=self.steps, num_random_init=int(self.one_by_one), batch_size=batch_size,
            summary_writer=False, verbose=False,
        )

    def _step(self, epsilon: float) -> float:
        return float(self.step_size or 2.5 * epsilon / self.steps)


class ArtBIM(ArtPGD):
    """ART's BasicIterativeMethod; with `norm="l2"`, which ART's constructor lacks, set on it."""

    name = "art/bim"

    def __init__(
        self, *, steps: int = 40, step_size: float | None = None, norm: Norm = "linf"
    ) -> None:
        super().__init__(steps=steps, step_size=step_size, norm=norm, random_start=False)

    def build(self, classifier: Any, *, epsilon: float, batch_size: int) -> Any:
        from art.attacks.evasion import BasicIterativeMethod

        attack = BasicIterativeMethod(
            classifier, eps=epsilon, eps_step=self._step(epsilon), max_iter=self.steps,
            batch_size=batch_size, verbose=False,
        )
        attack.set_params(norm=ORDERS[self.norm])
        return attack
