"""The convolution at the entrance of a network, with a faster way back to the pixels on a CPU."""

from __future__ import annotations

from typing import Any, Self, TypeGuard

import torch
from torch import Tensor, nn

_FEW = 4
"""Of so many channels at most: libraries make their kernels for the many of the later layers."""
_VALUES = 2**22
"""How many values are spread out at a time: 16 MB of float32."""


def with_entrance(network: nn.Module) -> nn.Module:
    """`network`, its convolutions of few channels exchanged for an `EntranceConvolution` each."""
    for name, layer in list(network.named_modules()):
        if name and fits(layer):
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, EntranceConvolution.of(layer))
    return network


class EntranceConvolution(nn.Conv2d):
    """A convolution with frozen weights, whose gradient in its input is a product of matrices.

    The gradient at the N×K×H'×W' places of the output, times the weights as a K×(C·k·k) matrix,
    is that of every pixel a place has seen; for each of the k·k places in the kernel, a shifted
    plane of them is added up. For one channel it takes a third to a fourteenth of the time of the
    library's own, and half to all of that of `torch.nn.functional.fold`, to the same bits.
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
        return _to_the_pixels(slope, ctx.convolution, ctx.shape).to(ctx.dtype), None


def _to_the_pixels(slope: Tensor, convolution: nn.Conv2d, shape: torch.Size) -> Tensor:
    """The gradient N×C×H×W in the input, from that N×K×H'×W' in the output."""
    padding = convolution.padding
    assert not isinstance(padding, str)
    rows, channels, height, width = shape
    below, across = padding
    padded = slope.new_zeros(channels, rows, height + 2 * below, width + 2 * across)
    spread = convolution.weight.flatten(1).t().to(slope.dtype)
    places = slope[:1, 0].numel()
    at_a_time = max(1, _VALUES // max(1, len(spread) * places))
    for images, part in zip(
        torch.split(padded, at_a_time, dim=1), torch.split(slope, at_a_time), strict=True
    ):
        seen = spread @ part.permute(0, 2, 3, 1).reshape(-1, part.shape[1]).t()
        _add_up(images, seen.view(channels, -1, len(part), *part.shape[2:]), convolution)
    inside = padded[:, :, below:below + height, across:across + width]
    return inside.transpose(0, 1).contiguous()


def _add_up(images: Tensor, seen: Tensor, convolution: nn.Conv2d) -> None:
    """Add to `images` C×N×H×W what each place of the kernel has seen of them, C×(k·k)×N×H'×W'."""
    (tall, wide), (down, right) = convolution.kernel_size, convolution.stride
    apart, aside = convolution.dilation
    last_row, last_column = down * (seen.shape[3] - 1) + 1, right * (seen.shape[4] - 1) + 1
    for place in range(tall * wide):
        top, left = apart * (place // wide), aside * (place % wide)
        images[:, :, top:top + last_row:down, left:left + last_column:right] += seen[:, place]


def fits(convolution: nn.Module) -> TypeGuard[nn.Conv2d]:
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
