"""Attacks for the tests of the suite: some keep the contract, others break it in one place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

import robench
from robench.attacks.losses import margin


class Sign(robench.Attack):
    """One signed step: keeps the contract."""

    def __init__(self, *, share: float = 1.0) -> None:
        self.share = share

    def perturb(self, victim: Any, images: Tensor, labels: Tensor, *, epsilon: float,
                random: Any) -> Tensor:
        return images + self.share * epsilon * victim.gradient(images).sign()


class Nearest(robench.Attack):
    """Steps to the nearest decision boundary of the linearised margin (L2, minimum norm)."""

    norm = "l2"
    budget = "minimum"

    def perturb(self, victim: Any, images: Tensor, labels: Tensor, *, epsilon: float,
                random: Any) -> Tensor:
        current = images
        for _ in range(5):
            logits = victim.logits(current)
            gradient = victim.gradient(current, margin)
            size = gradient.flatten(1).square().sum(dim=1).clamp_min(1e-12)
            step = (margin(logits, labels).clamp_min(0) + 1e-3) / size
            current = (current - step[:, None, None, None] * gradient).clamp(0.0, 1.0)
        return current


class Pixels(robench.Attack):
    """Drives the pixels of the largest gradient to the edge of the box (L0)."""

    norm = "l0"

    def perturb(self, victim: Any, images: Tensor, labels: Tensor, *, epsilon: float,
                random: Any) -> Tensor:
        gradient = victim.gradient(images)
        places = gradient.abs().amax(dim=1).flatten(1)
        chosen = torch.zeros_like(places)
        chosen.scatter_(1, places.topk(min(int(epsilon), places.shape[1])).indices, 1.0)
        mask = chosen.reshape(len(images), 1, *images.shape[2:])
        return torch.where(mask > 0, (gradient > 0).float(), images)


class Mass(Pixels):
    """The same within an L1 budget: two changed channels of a pixel cost at most 2."""

    norm = "l1"

    def perturb(self, victim: Any, images: Tensor, labels: Tensor, *, epsilon: float,
                random: Any) -> Tensor:
        return super().perturb(victim, images, labels, epsilon=epsilon / images.shape[1],
                               random=random)


class Swallows(Sign):
    """Takes an exception of the network for a sign of robustness."""

    def perturb(self, victim: Any, images: Tensor, *rest: Any, **named: Any) -> Tensor:
        try:
            return super().perturb(victim, images, *rest, **named)
        except RuntimeError:
            return images


class GlobalNoise(Sign):
    """Draws from torch's global generator."""

    def perturb(self, victim: Any, images: Tensor, *rest: Any, **named: Any) -> Tensor:
        stepped = super().perturb(victim, images, *rest, **named)
        return stepped + 1e-3 * torch.rand_like(images)


class GlobalNumpy(Sign):
    """Seeds numpy's global generator, and so is deterministic."""

    def perturb(self, *rest: Any, **named: Any) -> Tensor:
        np.random.seed(0)
        return super().perturb(*rest, **named)


class ByBatch(Sign):
    """Scales its step by the strongest gradient of the batch."""

    def perturb(self, victim: Any, images: Tensor, labels: Tensor, *, epsilon: float,
                random: Any) -> Tensor:
        gradient = victim.gradient(images)
        return images + epsilon * gradient / gradient.abs().max().clamp_min(1e-12)


class Remembers(Sign):
    """Takes smaller steps every time it is used."""

    def perturb(self, *rest: Any, **named: Any) -> Tensor:
        self.share *= 0.9
        return super().perturb(*rest, **named)


class InPlace(Sign):
    """Writes into the images it was given, so that its ball would move with them."""

    def perturb(self, victim: Any, images: Tensor, labels: Tensor, *, epsilon: float,
                random: Any) -> Tensor:
        return images.add_(2 * epsilon * victim.gradient(images).sign())


class Weak(Sign):
    """Steps down the loss."""

    def __init__(self) -> None:
        super().__init__(share=-1.0)


class ThreeClasses(Sign):
    """Needs a third class."""

    def perturb(self, victim: Any, images: Tensor, *rest: Any, **named: Any) -> Tensor:
        victim.logits(images).topk(3)
        return super().perturb(victim, images, *rest, **named)


class Grey(Sign):
    """Needs one channel."""

    def perturb(self, victim: Any, images: Tensor, *rest: Any, **named: Any) -> Tensor:
        rows, _, height, width = images.shape
        images.reshape(rows, height, width)
        return super().perturb(victim, images, *rest, **named)


class Wrong(Sign):
    """Overrides the call itself, and changes each result."""

    def change(self, result: Any, images: Tensor) -> Any:
        return result

    def __call__(self, model: Any, images: Any, labels: Any, **named: Any) -> Any:
        results = super().__call__(model, images, labels, **named)
        return [self.change(result, images) for result in results]


class Outside(Wrong):
    def change(self, result: Any, images: Tensor) -> Any:
        moved = (result.adversarial - images) * 1.1
        return replace(result, adversarial=(images + moved).clamp(0.0, 1.0))


class Lies(Wrong):
    def change(self, result: Any, images: Tensor) -> Any:
        return replace(result, success=torch.zeros_like(result.success))


class Uncounted(Wrong):
    def change(self, result: Any, images: Tensor) -> Any:
        return replace(result, forwards=torch.zeros_like(result.forwards))


class Touches(Wrong):
    """Changes images that were wrong before, and all images at epsilon 0."""

    def change(self, result: Any, images: Tensor) -> Any:
        moved = torch.where(result.success[:, None, None, None], result.adversarial,
                            (images + 1e-3).clamp(0.0, 1.0))
        return replace(result, adversarial=moved)


class LeavesEval(Sign):
    def __call__(self, model: Any, *rest: Any, **named: Any) -> Any:
        results = super().__call__(model, *rest, **named)
        model.eval()
        return results


class NoLadder(Sign):
    """Works at the smaller epsilon alone, and keeps nothing for the larger one."""

    def __call__(self, *rest: Any, **named: Any) -> Any:
        return super().__call__(*rest, **{**named, "ladder": False})

    def perturb(self, victim: Any, images: Tensor, labels: Tensor, *, epsilon: float,
                random: Any) -> Tensor:
        share = 1.0 if epsilon < 0.05 else 1e-3
        return images + share * epsilon * victim.gradient(images).sign()


class SecretGradient(Sign):
    access = "scores"


class SecretScores(Sign):
    """Says that decisions are enough, and follows the margin."""

    access = "decision"

    def perturb(self, victim: Any, images: Tensor, labels: Tensor, *, epsilon: float,
                random: Any) -> Tensor:
        signs = (random.uniform(*images.shape[1:]) - 0.5).sign()
        lowest = margin(victim.logits((images + epsilon * signs).clamp(0.0, 1.0)), labels)
        for _ in range(8):
            flipped = torch.where(random.uniform(*images.shape[1:]) < 0.2, -signs, signs)
            found = margin(victim.logits((images + epsilon * flipped).clamp(0.0, 1.0)), labels)
            signs = torch.where((found < lowest)[:, None, None, None], flipped, signs)
            lowest = torch.minimum(found, lowest)
        return images + epsilon * signs
