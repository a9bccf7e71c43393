"""Passes of a network, and whether two of them agree."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robench.attacks.losses import cross_entropy
from robench.freezing import frozen
from robench.testing.core import Violation, expect
from robench.testing.randomness import seeded
from robench.victim import Victim

# Relative to the largest logit: libraries compute in another order for other batch sizes.
_TOLERANCE = 1e-4


def logits_of(network: nn.Module, images: Tensor, *, seed: int = 0) -> Tensor:
    """What the network gives in eval mode for a copy of `images`, random numbers seeded."""
    with frozen(network), seeded(seed), torch.no_grad():
        logits: Tensor = network(images.clone())
    return logits


def check_close(expected: Tensor, found: Tensor, what: str) -> None:
    """Raise a Violation unless two tables of logits agree but for rounding."""
    difference = float((expected - found).abs().max())
    allowed = _TOLERANCE * max(float(expected.abs().max()), 1e-3)
    if not difference <= allowed:  # also where the difference is NaN
        raise Violation(f"{what}: logits differ by {difference:.2g}, expected at most "
                        f"{allowed:.2g}")


def check_gradient(network: nn.Module, images: Tensor, expected: str, what: str) -> None:
    """Raise a Violation unless the cross-entropy has a finite gradient in the pixels."""
    victim = Victim(network, rowwise=False)
    with frozen(victim), seeded(0):
        labels = victim.logits(images).argmax(dim=1)
        _, gradient = victim.gradient(images, labels, cross_entropy)
    expect(bool(torch.isfinite(gradient).all()), f"NaN or infinite values, {what}",
           "a finite gradient of the cross-entropy in the pixels")
    expect(bool((gradient != 0).any()), f"only zeros, {what}", expected)
