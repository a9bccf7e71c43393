"""Attacks of the Adversarial Robustness Toolbox (ART), in its PyTorch implementation.

They mean the same as the native ones of the same name and take the same settings. ART runs on a
view of the victim, so its passes are counted and its best iterate is kept as with any attack; the
passes that ART makes only for its own log count too.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robench.attacks.art_classifier import apart, art_classifier, seed_generators
from robench.attacks.balls import Norm
from robench.attacks.base import Attack
from robench.attacks.draws import Draws
from robench.attacks.query import Query
from robench.attacks.settings import check_norm, check_step_size, check_steps

_ORDERS = {"linf": np.inf, "l1": 1, "l2": 2}


class ArtAttack(Attack):
    """An evasion attack of ART on all images in one batch, so that its row k is image k.

    A subclass implements `build`. One that draws random numbers sets `draws_numbers`: ART has
    one generator for all images, so it is then run on one image at a time, each with its own
    seed. That is slow, but no image's result depends on its batch.
    """

    draws_numbers: bool = False

    @abstractmethod
    def build(self, classifier: Any, *, epsilon: float, batch_size: int) -> Any:
        """ART's attack on `classifier`: an untargeted `art.attacks.EvasionAttack`."""

    def num_classes(self, victim: Query) -> int:
        """How many classes ART is told of.

        An attack on the loss needs them only to write the labels as one-hot rows, so the
        largest label will do, and costs no pass.
        """
        return max(int(victim.labels.max()) + 1, 2)

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        if epsilon < torch.finfo(torch.float32).tiny:  # ART refuses 0, and this is none in float32
            return images
        rows = torch.arange(len(images), device=images.device)
        parts = rows[:, None] if self.draws_numbers and victim.rowwise else rows[None]
        seeds = random.seeds()
        with apart(images.device):
            found = []
            for part in parts:
                seed_generators(seeds[int(part[0])], images.device)
                view = victim.select(part)
                found.append(self._run(view, images[part], labels[part], epsilon))
        return torch.cat(found)

    def _run(self, view: Query, images: Tensor, labels: Tensor, epsilon: float) -> Tensor:
        classifier = art_classifier(view, num_classes=self.num_classes(view))
        attack = self.build(classifier, epsilon=epsilon, batch_size=len(images))
        returned = attack.generate(x=images.cpu().numpy(), y=labels.cpu().numpy())
        return torch.as_tensor(returned, dtype=torch.float32, device=images.device)


class ArtFGSM(ArtAttack):
    """ART's FastGradientMethod: the step ε·sign(∇ₓ J), or with `norm="l2"` ε·∇ₓ J / ‖∇ₓ J‖₂."""

    name = "art/fgsm"

    def __init__(self, *, norm: Norm = "linf") -> None:
        self.norm = check_norm(norm)

    def build(self, classifier: Any, *, epsilon: float, batch_size: int) -> Any:
        from art.attacks.evasion import FastGradientMethod

        return FastGradientMethod(
            classifier, norm=_ORDERS[self.norm], eps=epsilon, batch_size=batch_size,
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
        self.draws_numbers = random_start

    def build(self, classifier: Any, *, epsilon: float, batch_size: int) -> Any:
        from art.attacks.evasion import ProjectedGradientDescent

        return ProjectedGradientDescent(
            classifier, norm=_ORDERS[self.norm], eps=epsilon, eps_step=self._step(epsilon),
            max_iter=self.steps, num_random_init=int(self.draws_numbers), batch_size=batch_size,
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
        attack.set_params(norm=_ORDERS[self.norm])
        return attack
