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
    """`which` are broken at each epsilon, N booleans; of an attack that looks for the nearest
    images, `apart` N is how far they are in L2, or how many features are changed."""

    which: tuple[Tensor, ...]
    apart: Tensor | None = None
    unit: str = ""

    @property
    def distance(self) -> float | None:
        """The median distance of the broken images, or the mean number of features."""
        return None if self.apart is None else self._middle(self.which[0])

    def _middle(self, rows: Tensor) -> float:
        assert self.apart is not None
        chosen = self.apart[rows]
        if not len(chosen):
            return math.inf
        return float(chosen.mean() if self.unit else chosen.median())

    @property
    def broken(self) -> tuple[float, ...]:
        """The share of images broken at each epsilon."""
        return tuple(float(each.float().mean()) for each in self.which)

    def beside(self, other: Findings) -> str:
        """How many images are broken here and not there, and there and not here, at all epsilons
        together; and the distances, or features, here and there of those that both break."""
        pairs = list(zip(self.which, other.which, strict=True))
        more = sum(int((mine & ~its).sum()) for mine, its in pairs)
        fewer = sum(int((its & ~mine).sum()) for mine, its in pairs)
        counts = f"+{more} −{fewer}"
        if self.apart is None or other.apart is None:
            return counts
        both = self.which[0] & other.which[0]
        digits = 1 if self.unit else 3
        return f"{counts}; {self._middle(both):.{digits}f} : {other._middle(both):.{digits}f}"

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
    moved = (adversarial[0] - images).flatten(1)
    if features:
        return Findings(which, (moved.abs() > 1e-7).sum(dim=1).float(), " features")
    return Findings(which, moved.norm(dim=1))
