"""Networks that are known to break, and where: what every attack must find and chance must not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from robench.attacks.balls import Norm
from robench.testing.networks import Task

Kind = Literal["any", "smooth", "block", "common"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""What an attack looks at: all perturbations, those that vary slowly over the image, squares of
pixels, or one perturbation for all images."""

_SIDE = 16
_BLOCK_SIDE = 40
_DENSE: dict[Norm, tuple[float, float, float]] = {"linf": (0.1, 0.2, 0.3), "l2": (0.0625, 2.0, 0.3)}
"""How far each pixel is from the boundary, epsilon, and what the images differ by: much, as a grey
image would otherwise be a way to the boundary that is found without looking for it."""
_BLOCK = (0.0525, 400.0, 0.01)
_DARK = 0.05


@dataclass(frozen=True)
class _Sparse:
    """`heavy` pixels, by their places around a centre, all of which must turn white; the others
    weigh from `light` on."""

    side: int
    epsilon: float
    heavy: tuple[tuple[int, int], ...]
    light: float


_SPARSE: dict[Norm, _Sparse] = {
    "l1": _Sparse(24, 8.0, ((0, 0), (-1, -1), (-1, 1), (1, 0)), 0.065),
    "l0": _Sparse(32, 4.0, ((0, 0), (0, 2)), 0.02),
}


def breakable(norm: Norm, *, classes: int, kind: Kind = "any") -> Task:
    """A linear network all of whose images break at half of `epsilon`, along the gradient.

    Chance does not find that direction. In L∞ and L2, and where a `kind` other than "any" asks
    for it, every pixel has a say, with its own sign; "smooth" signs are those of the quarters
    of the image, with "block" the pixels of any square of `epsilon` pixels are enough, with
    "common" all images break in the same direction. In L1 four pixels of 576, in L0 two of 1,024
    have to go from black to white. Classes beyond the second are never predicted.

    Raises ValueError for a kind that the norm has not.
    """
    generator = torch.Generator().manual_seed(3)
    sides = torch.tensor([1.0, 1.0, 1.0, 1.0] if kind == "common" else [1.0, -1.0, 1.0, -1.0])
    if kind == "block" and norm == "l0":
        weight = _signs(_BLOCK_SIDE, generator)
        return _dense(weight, sides, classes, *_BLOCK, generator)
    if norm in _DENSE and kind != "block":
        weight = _quarters(_SIDE) if kind == "smooth" else _signs(_SIDE, generator)
        return _dense(weight, sides, classes, *_DENSE[norm], generator)
    if norm in _SPARSE and kind == "any":
        return _sparse(_SPARSE[norm], sides, classes, generator)
    raise ValueError(f"no network that breaks in {norm} for an attack confined to {kind}")


def _signs(side: int, generator: torch.Generator) -> Tensor:
    """As many weights 1 as −1, in random order."""
    order = torch.randperm(side**2, generator=generator)
    return torch.where(order % 2 == 0, 1.0, -1.0)


def _quarters(side: int) -> Tensor:
    """1 and −1 in the quarters of the image in turn: no row and no column has a say."""
    upper = torch.arange(side) < side // 2
    return torch.where(upper[:, None] == upper, 1.0, -1.0).flatten()


def _dense(
    weight: Tensor, sides: Tensor, classes: int, step: float, epsilon: float, contrast: float,
    generator: torch.Generator,
) -> Task:
    """Every pixel is `step` beyond grey, on its image's side of it."""
    def images_of(sides: Tensor) -> Tensor:
        noise = _noise(len(sides), weight, contrast, generator)
        return 0.5 + noise + step * sides[:, None] * weight

    network = Linear(4.0 / (step * len(weight)) * weight, classes)
    return _task(network, images_of(sides), sides, epsilon, lessons=images_of(sides.repeat(4)))


def _sparse(
    kind: _Sparse, sides: Tensor, classes: int, generator: torch.Generator
) -> Task:
    """The top of an image puts it on its side, with as many light weights of either sign. Below,
    it is nearly black, with a long way in one direction alone: in the left half a pixel weighs the
    more the nearer it is to the heavy ones, so that a search which learns from scores can close
    in; in the right half the same, with the other sign."""
    top = kind.side // 4
    weight = torch.zeros(kind.side, kind.side)
    weight[:top] = kind.light * torch.where(
        torch.randperm(top * kind.side, generator=generator) % 2 == 0, 1.0, -1.0
    ).reshape(top, kind.side)
    centre = (kind.side * 5 // 8, kind.side // 4)
    row, column = torch.meshgrid(torch.arange(kind.side), torch.arange(kind.side), indexing="ij")
    away = ((row - centre[0]).square() + (column - centre[1]).square()).sqrt()
    field = kind.light * (1 + 0.5 * torch.exp(-away / 8.0))
    for down, across in kind.heavy:
        field[centre[0] + down, centre[1] + across] = 1.0
    half = field[top:, : kind.side // 2]
    weight[top:] = torch.cat([half, -half.flip(1)], dim=1)
    needed = 0.9 * len(kind.heavy)
    marked = weight[:top].flatten()
    noise = _noise(len(sides), marked, 0.01, generator)
    contrast = needed / marked.abs().sum()
    images = torch.full((len(sides), kind.side**2), _DARK)
    images[:, : len(marked)] = 0.5 + noise + contrast * sides[:, None] * marked.sign()
    return _task(Linear(4.0 / needed * weight.flatten(), classes), images, sides, kind.epsilon)


def _noise(count: int, weight: Tensor, size: float, generator: torch.Generator) -> Tensor:
    """Uniform in ±`size` but for a little, and without a say."""
    noise = size * (2 * torch.rand(count, len(weight), generator=generator) - 1)
    return noise - (noise @ weight)[:, None] * weight / weight.square().sum()


def _task(
    network: nn.Module, images: Tensor, sides: Tensor, epsilon: float, *,
    lessons: Tensor | None = None,
) -> Task:
    side = math.isqrt(images.shape[1])
    return Task(
        network, images.reshape(-1, 1, side, side), (sides > 0).long(),
        torch.ones(len(images), dtype=torch.bool), epsilon,
        lessons=None if lessons is None else lessons.reshape(-1, 1, side, side),
    )


class Linear(nn.Module):
    """Logits −z/2 and z/2 of z = w·(x − 0.5), and −10 for further classes."""

    def __init__(self, weight: Tensor, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.register_buffer("others", torch.full((classes - 2,), -10.0))

    def forward(self, images: Tensor) -> Tensor:
        score = ((images - 0.5).flatten(1) @ self.weight)[:, None]
        others = self.get_buffer("others").expand(len(images), -1)
        return torch.cat([-score / 2, score / 2, others], dim=1)
