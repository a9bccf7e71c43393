"""Universal adversarial perturbations: one perturbation for a data set, learned on other images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from robench.attacks.balls import Norm, ascent_direction
from robench.attacks.draws import Draws
from robench.attacks.learning import LearnedAttack, shuffled
from robench.attacks.losses import cross_entropy, targeted_cross_entropy
from robench.attacks.query import Query
from robench.attacks.result import AttackResult
from robench.attacks.settings import (
    check_norm,
    check_number,
    check_step_size,
    check_steps,
    check_word,
)
from robench.attacks.targets import Target, check_target, target_classes
from robench.attacks.uap_deepfool import aggregated
from robench.attacks.universal import inside, shown
from robench.victim import Loss, Victim

Method = Literal["sgd", "deepfool"]
Optimizer = Literal["sign", "adam"]


class UAP(LearnedAttack):
    """The one perturbation that is added to every image, learned on other images by `fit`.

    `method="sgd"`: Shafahi et al. 2020 (arXiv 1811.11304), algorithm 2: from zero, stochastic
    gradient ascent on the mean over a minibatch of min(cross-entropy, `beta`) (section 3), each
    step projected into the ball; `epochs` passes over the `images`, `batch_size` at a time. A
    step is `step_size` along the gradient's sign (L2: along the gradient), or one of Adam's with
    that learning rate; None means 2.5·ε over the number of steps. `target`: descent on the
    cross-entropy of a class chosen at each clean image learned from, see
    `robench.attacks.targets`, whatever its size; those of that class itself are left out. None
    goes away from the labels.

    `method="deepfool"`: Moosavi-Dezfooli et al. 2017 (arXiv 1610.08401), algorithm 1: the
    shortest step that changes the prediction of the next image which still has its own is added
    and projected, until a share of 1 − `delta` is fooled, for at most `epochs` passes. It looks
    at predictions, never at labels.

    An attacked image costs one forward.
    """

    name = "uap"
    version = 2

    def __init__(
        self,
        *,
        method: Method = "sgd",
        norm: Norm = "linf",
        images: int = 1000,
        epochs: int = 10,
        batch_size: int = 128,
        optimizer: Optimizer = "sign",
        step_size: float | None = None,
        beta: float = 9.0,
        delta: float = 0.2,
        target: Target | None = None,
    ) -> None:
        self.method = check_word(method, "method", ("sgd", "deepfool"))
        self.norm = check_norm(norm)
        self.images = check_steps(images, "images")
        self.epochs = check_steps(epochs, "epochs")
        self.batch_size = check_steps(batch_size, "batch_size")
        self.optimizer = check_word(optimizer, "optimizer", ("sign", "adam"))
        self.step_size = check_step_size(step_size)
        self.beta = check_number(beta, "beta", open_low=True)
        self.delta = check_number(delta, "delta", high=1.0)
        self.target = None if target is None else check_target(target)
        if method == "deepfool" and target is not None:
            raise ValueError(f"target: got {target!r} with method deepfool, expected sgd: "
                             "DeepFool goes to the nearest boundary")

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        return images + self.learned(epsilon).to(images.device)

    def learn(
        self, victim: Victim, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        if epsilon == 0:
            return torch.zeros_like(images[0])
        if self.method == "deepfool":
            return aggregated(
                victim, images, epsilon=epsilon, norm=self.norm, epochs=self.epochs,
                delta=self.delta, random=random,
            )
        if self.target is None:
            return self._ascended(victim, images, labels, _clipped(self.beta), epsilon, random)
        if isinstance(self.target, int):
            others = torch.ne(labels, self.target).nonzero()[:, 0]
            if not len(others):
                raise ValueError(f"target: all images to learn from are of class {self.target}, "
                                 "expected some of others")
            images, labels, random = images[others], labels[others], random.select(others)
        targets = target_classes(self.target, victim.logits(images), labels, random)
        aims = torch.stack([labels, targets], dim=1)
        return self._ascended(victim, images, aims, targeted_cross_entropy, epsilon, random)

    def _ascended(
        self, victim: Victim, images: Tensor, aims: Tensor, loss: Loss, epsilon: float,
        random: Draws,
    ) -> Tensor:
        """`aims`: what `loss` takes beside the logits, a row for each image."""
        batches = -(-len(images) // self.batch_size)
        step_size = self.step_size or 2.5 * epsilon / (self.epochs * batches)
        found = torch.zeros_like(images[:1])
        adam = self.optimizer == "adam"
        rule = torch.optim.Adam if adam else torch.optim.SGD
        optimizer = rule([found], lr=step_size, maximize=True)
        for _ in range(self.epochs):
            for rows in torch.split(shuffled(random), self.batch_size):
                _, slopes = victim.gradient(shown(images[rows], found), aims[rows], loss)
                victim.note_gradients(~torch.isfinite(slopes.flatten(1)).all(dim=1))
                slope = slopes.mean(dim=0, keepdim=True)
                found.grad = slope if adam else ascent_direction(slope, self.norm)
                optimizer.step()
                found.copy_(inside(found, epsilon, self.norm))
        return found[0]

    def _attempt(
        self, victim: Victim, images: Tensor, labels: Tensor, *, epsilon: float, **known: Any
    ) -> AttackResult:
        result = super()._attempt(victim, images, labels, epsilon=epsilon, **known)
        # What is asked for gradients is asked in `learn`: nothing learned, and they were all zero.
        dead = epsilon > 0 and not bool(self.learned(epsilon).any())
        return replace(result, gradient_dead=torch.full_like(result.gradient_dead, dead))


def _clipped(beta: float) -> Loss:
    """The cross-entropy, without a gradient where it is above `beta`: so that no image outweighs
    the others."""
    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(logits, labels).clamp_max(beta)

    return loss
