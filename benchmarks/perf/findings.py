"""What an attack found: how many images it broke at each epsilon, and how far away."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_FEWER = 0.02
"""By how large a share of the images a library may break fewer and still be compared."""
_FARTHER = 1.02
"""How many times as far away it may find them."""


@dataclass(frozen=True)
class Findings:
    """`which` are broken at each epsilon, N booleans; `distance` the median L2 distance of
    the broken ones, or the mean number of features changed in them, of an attack that looks for the
    nearest."""

    which: tuple[Tensor, ...]
    distance: float | None = None
    unit: str = ""

    @property
    def broken(self) -> tuple[float, ...]:
        """The share of images broken at each epsilon."""
        return tuple(float(each.float().mean()) for each in self.which)

    def beside(self, other: Findings) -> str:
        """How many images are broken here and not there, and there and not here, at all epsilons
        together."""
        pairs = list(zip(self.which, other.which, strict=True))
        more = sum(int((mine & ~its).sum()) for mine, its in pairs)
        fewer = sum(int((its & ~mine).sum()) for mine, its in pairs)
        return f"+{more} −{fewer}"

    def __str__(self) -> str:
        """Robust accuracies in percent, or the distance."""
        if self.distance is None:
            return ", ".join(f"{100 * (1 - share):.1f}" for share in self.broken)
        number = f"{self.distance:.1f}" if self.unit else f"{self.distance:.3f}"
        return f"{number}{self.unit} ({self.broken[0]:.0%} broken)"

    def as_good_as(self, other: Findings) -> bool:
        """Whether no fewer images are broken than by the other, and no farther away, but for
        little."""
        fewer = any(
            mine < its - _FEWER for mine, its in zip(self.broken, other.broken, strict=True)
        )
        if fewer or self.distance is None or other.distance is None:
            return not fewer
        return not self.distance > _FARTHER * other.distance


def found(
    network: nn.Module, images: Tensor, labels: Tensor, adversarial: Sequence[Tensor], *,
    nearest: bool, features: bool,
) -> Findings:
    """What `adversarial` images of each epsilon are to the network; with `nearest`, of the attack
    that looks for the nearest ones, in L2 or in `features`."""
    with torch.no_grad():
        broken = [network(moved).argmax(1) != labels for moved in adversarial]
    which = tuple(broken)
    if not nearest:
        return Findings(which)
    moved = (adversarial[0] - images).flatten(1)[broken[0]]
    if not len(moved):
        return Findings(which, math.inf)
    if features:
        changed = (moved.abs() > 1e-7).sum(dim=1).float()
        return Findings(which, float(changed.mean()), " features")
    return Findings(which, float(moved.norm(dim=1).median()))
