"""Backward passes that stand in for those that a transform lacks (BPDA)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

Transform = Callable[[Tensor], Tensor]


class StraightThrough(nn.Module):
    """`transform`, with the gradient of `stand_in`.

    Backward pass differentiable approximation: Athalye, Carlini, Wagner 2018 (arXiv 1802.00420),
    section 4.1. The forward pass gives the bits of `transform(x)`, which is run without a graph;
    the backward pass is that of `stand_in(x)`, which is run where a gradient is asked for, and by
    default is the identity. Both give the same shape; otherwise ValueError is raised. Either may
    be a module: it is then a submodule of this one.
    """

    def __init__(self, transform: Transform, stand_in: Transform | None = None) -> None:
        super().__init__()
        self.transform = transform
        self.stand_in = stand_in

    def forward(self, inputs: Tensor) -> Tensor:
        with torch.no_grad():
            value = self.transform(inputs.detach())
        if not torch.is_grad_enabled():
            return value
        slope = inputs if self.stand_in is None else self.stand_in(inputs)
        return with_gradient_of(slope, value)


def with_gradient_of(stand_in: Tensor, value: Tensor) -> Tensor:
    """The bits of `value` with the gradient of `stand_in`, a tensor of the same shape.

    Raises ValueError for another shape.
    """
    if value.shape != stand_in.shape:
        raise ValueError(
            f"a stand-in of shape {list(stand_in.shape)} for a value of {list(value.shape)}"
        )
    return cast(Tensor, _Replaced.apply(stand_in, value))


def in_range(pixels: Tensor) -> Tensor:
    """`pixels` cut to [0,1], with the gradient they had: for those that only rounding took out.

    A plain clamp would give white areas no gradient.
    """
    return with_gradient_of(pixels, pixels.clamp(0.0, 1.0))


class _Replaced(torch.autograd.Function):
    """Not value + (stand_in − stand_in.detach()), which changes the sign of −0 and gives NaN
    where a stand-in is infinite."""

    @staticmethod
    def forward(ctx: Any, stand_in: Tensor, value: Tensor) -> Tensor:
        return value.detach().clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None
