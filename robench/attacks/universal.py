"""A perturbation 1×C×H×W that is added to every image: its ball, and what the network is shown."""

from __future__ import annotations

from torch import Tensor

from robench.attacks.balls import Norm


def shown(images: Tensor, perturbation: Tensor) -> Tensor:
    """Each image with the perturbation, cut with the box."""
    return (images + perturbation).clamp(0.0, 1.0)


def inside(perturbation: Tensor, epsilon: float, norm: Norm) -> Tensor:
    """The point of the L∞ or L2 ball of radius `epsilon` around zero that is nearest."""
    if norm == "linf":
        return perturbation.clamp(-epsilon, epsilon)
    length = float(perturbation.double().square().sum().sqrt())
    return perturbation * (epsilon / length) if length > epsilon else perturbation
