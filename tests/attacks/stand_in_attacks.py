"""Attacks as third parties write them, each a few lines."""

from __future__ import annotations

import torch
from torch.nn import functional

from robench.attacks.base import Attack


class OneStep(Attack):
    """FGSM by autograd on the view, without any of robench's helpers."""

    def perturb(self, victim, images, labels, *, epsilon, random):
        leaf = images.clone().requires_grad_(True)
        functional.cross_entropy(victim(leaf), labels).backward()
        return leaf.detach() + epsilon * leaf.grad.sign()


class Loses(OneStep):
    """Shows the victim a good iterate, and returns the clean image."""

    def perturb(self, victim, images, labels, *, epsilon, random):
        stepped = super().perturb(victim, images, labels, epsilon=epsilon, random=random)
        victim(stepped.clamp(0, 1))
        return images


class Overshoots(Attack):
    """Returns something far outside the ball and the box."""

    def perturb(self, victim, images, labels, *, epsilon, random):
        return images + 100.0 * victim.gradient(images).sign()


class Shrinking(Attack):
    """Looks for the smallest L∞ perturbation along the gradient's sign."""

    budget = "minimum"
    runs = 0

    def perturb(self, victim, images, labels, *, epsilon, random):
        assert epsilon == float("inf")
        self.runs += 1
        direction = victim.gradient(images).sign()
        candidate = images
        for radius in torch.linspace(0.4, 0.02, 20):
            candidate = (images + radius * direction).clamp(0, 1)
            victim(candidate)
        return candidate


class Guesses(Attack):
    """The best of three random perturbations."""

    access = "scores"

    def perturb(self, victim, images, labels, *, epsilon, random):
        for _ in range(3):
            noise = random.uniform(*images.shape[1:], low=-1, high=1)
            candidate = (images + epsilon * noise).clamp(0, 1)
            victim.logits(candidate)
        return candidate


class Sparse(Attack):
    """Sets `epsilon` pixels, the same ones in each image, to white."""

    norm = "l0"

    def perturb(self, victim, images, labels, *, epsilon, random):
        candidate = images.clone()
        candidate[:, :, 0, : int(epsilon)] = 1.0
        return candidate


class Returns(Attack):
    """Returns what it was made with."""

    def __init__(self, *, value: object) -> None:
        self.value = value

    def perturb(self, victim, images, labels, *, epsilon, random):
        return self.value
