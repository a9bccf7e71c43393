"""Images and networks for the tests of defenses."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

SHAPES = [(1, 1, 17, 23), (2, 3, 16, 12), (3, 3, 17, 23)]


def pixels(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Uniform random pixels."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def linear(channels: int, side: int, classes: int = 3) -> nn.Module:
    """A linear classifier whose weights are always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * side * side, classes))


def seeded(module: Callable[[Tensor], Tensor], images: Tensor, seed: int = 0) -> Tensor:
    """What a module that draws random numbers gives from a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return module(images)


def slope_error(
    module: Callable[[Tensor], Tensor], images: Tensor, *, step: float = 1e-6
) -> float:
    """How far the gradient of a random weighting is off along a random direction, relatively.

    Central differences in float64, the same random numbers in every pass.
    """
    def weighted(at: Tensor) -> Tensor:
        output = seeded(module, at)
        return (output * pixels(*output.shape, seed=9, dtype=torch.float64)).sum()

    images = images.double().requires_grad_(True)
    (gradient,) = torch.autograd.grad(weighted(images), images)
    direction = pixels(*images.shape, seed=8, dtype=torch.float64) - 0.5
    with torch.no_grad():
        rise = weighted(images + step * direction) - weighted(images - step * direction)
    slope = float(rise) / (2 * step)
    return abs(float((gradient * direction).sum()) - slope) / max(abs(slope), 1e-9)
