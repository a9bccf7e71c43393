"""The convolution at the entrance of a network, with a faster way back to the pixels on a CPU."""

from __future__ import annotations

from typing import Any, Self, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional

_FEW = 4
"""Of so many channels at most: libraries make their kernels for the many of the later layers."""
_VALUES = 2**22
"""How many values are spread out at a time: 16 MB of float32."""


def with_entrance(network: nn.Module) -> nn.Module:
    """`network`, its convolutions of few channels exchanged for an `EntranceConvolution` each."""
    for name, layer in list(network.named_modules()):
        if name and _fits(layer):
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, EntranceConvolution.of(layer))
    return network


class EntranceConvolution(nn.Conv2d):
    """A convolution with frozen weights, whose gradient in its input is a product of matrices.

    The gradient at the N×K×H'×W' places of the output, times the weights as a K×(C·k·k) matrix,
    is that of every pixel a place has seen; `torch.nn.functional.fold` adds them up. For one
    channel it takes a third to an eighth of the time of the library's own.
    """

    @classmethod
    def of(cls, convolution: nn.Conv2d) -> Self:
        """The same layer, with the same weights."""
        made = cls.__new__(cls)
        made.__dict__ = convolution.__dict__
        return made

    def forward(self, input: Tensor) -> Tensor:
        if not (input.requires_grad and torch.is_grad_enabled()):
            return super().forward(input)
        return _Convolved.apply(input, self)  # type: ignore[no-any-return]


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, convolution: nn.Conv2d) -> Tensor:
        ctx.convolution, ctx.shape, ctx.dtype = convolution, images.shape, images.dtype
        return nn.Conv2d.forward(convolution, images)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        (slope,) = slopes
        spread = ctx.convolution.weight.flatten(1).t().to(slope.dtype)
        places = slope.flatten(2)
        at_a_time = max(1, _VALUES // max(1, spread.shape[0] * places.shape[2]))
        parts = [_folded(spread @ part, ctx.convolution, ctx.shape[2:])
                 for part in torch.split(places, at_a_time)]
        return torch.cat(parts).to(ctx.dtype), None


def _folded(columns: Tensor, convolution: nn.Conv2d, size: torch.Size) -> Tensor:
    padding = convolution.padding
    assert not isinstance(padding, str)
    return functional.fold(columns, tuple(size), convolution.kernel_size, padding=padding,
                           dilation=convolution.dilation, stride=convolution.stride)


def _fits(convolution: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether an `EntranceConvolution` can take its place, and its weights are on a CPU."""
    return (
        type(convolution) is nn.Conv2d
        and convolution.in_channels <= _FEW
        and convolution.groups == 1
        and convolution.padding_mode == "zeros"
        and not isinstance(convolution.padding, str)
        and convolution.weight.device.type == "cpu"
        and not convolution.weight.requires_grad
    )
