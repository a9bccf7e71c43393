"""Convolutions of many weights, which a CPU's library finds laid out as its kernels read them.

A library's kernels read weights in blocks of the machine's own width. Called with plain ones it
lays them out anew at every pass, there and back, which takes a third of the time of a network with
many channels and few places, such as a residual network of small images.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Self, TypeGuard, cast

import torch
from torch import Tensor, nn

_MANY = 2**17
"""Of so many weights at least: below, laying them out costs less than a function of our own."""


def with_packed_weights(network: nn.Module) -> nn.Module | None:
    """A copy of `network`, its convolutions of many weights exchanged for a `PackedConvolution`
    each, which read the same weights; None where there are none, or no kernels for them."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    packed = {id(layer): PackedConvolution.of(layer)
              for layer in network.modules() if _fits(layer)}
    weights = {id(tensor): tensor for tensor in [*network.parameters(), *network.buffers()]}
    return copy.deepcopy(network, {**packed, **weights}) if packed else None


class Layouts:
    """Weights as kernels read them: each layout once, whichever shapes of images want it.

    A kernel that finds another layout than its own exchanges it at every pass, some of them place
    by place: 70 ms for a layer of 2.5 million weights that computes for 0.3.
    """

    def __init__(self) -> None:
        self._for: dict[tuple[int, ...], Tensor] = {}

    def of(
        self, weights: Callable[[], Tensor], images: Tensor, padding: list[int], stride: list[int]
    ) -> Tensor:
        """Those that a convolution of images of this shape reads."""
        shape = tuple(images.shape)
        if shape not in self._for:
            last = weights().contiguous(memory_format=torch.channels_last)
            made = torch.ops.aten.mkldnn_reorder_conv2d_weight.default(
                last.to_mkldnn(), padding, stride, [1, 1], 1, shape
            )
            same = (kept for kept in self._for.values() if _described(kept) == _described(made))
            self._for[shape] = next(same, made)
        return self._for[shape]


def _described(laid_out: Tensor) -> list[int]:
    described = torch.ops.mkldnn._get_mkldnn_serialized_md.default(laid_out)
    return cast(list[int], described.tolist())


class PackedConvolution(nn.Conv2d):
    """A convolution with frozen weights of float32, which are laid out beforehand.

    Its gradient in its input is, for a stride of 1, the convolution of the output's gradient with
    the kernels turned round. Other arithmetic than float32 takes the layer's own way.
    """

    _there: Layouts
    _back: Layouts

    @classmethod
    def of(cls, convolution: nn.Conv2d) -> Self:
        """The same layer, with the same weights."""
        made = cls.__new__(cls)
        made.__dict__ = {**convolution.__dict__, "_there": Layouts(), "_back": Layouts()}
        return made

    def forward(self, input: Tensor) -> Tensor:
        if input.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        if input.requires_grad and torch.is_grad_enabled():
            return _Convolved.apply(input, self)  # type: ignore[no-any-return]
        return self.outputs(input)

    def outputs(self, images: Tensor) -> Tensor:
        """N×K×H'×W' of float32 images N×C×H×W."""
        weights = self._there.of(lambda: self.weight, images, self._padding, self._stride)
        return _convolved(images, weights, self.bias, self._padding, self._stride)

    def slopes(self, slope: Tensor, images: Tensor | None) -> Tensor:
        """The gradient N×C×H×W in the input, from that N×K×H'×W' in the output; of a stride other
        than 1, `images` are those that were convolved."""
        if images is not None:
            return cast(Tensor, torch.ops.aten.convolution_backward.default(
                slope, images, self.weight, None, self._stride, self._padding, [1, 1], False,
                [0, 0], 1, [True, False, False],
            )[0])
        padding = [size - 1 - cut
                   for size, cut in zip(self.kernel_size, self._padding, strict=True)]
        last = slope.contiguous(memory_format=torch.channels_last)
        weights = self._back.of(
            lambda: self.weight.transpose(0, 1).flip(2, 3), last, padding, [1, 1]
        )
        return _convolved(last, weights, None, padding, [1, 1])

    @property
    def _padding(self) -> list[int]:
        return [int(size) for size in self.padding]

    @property
    def _stride(self) -> list[int]:
        return list(self.stride)


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, convolution: PackedConvolution) -> Tensor:
        ctx.convolution = convolution
        ctx.images = None if convolution.stride == (1, 1) else images
        return convolution.outputs(images)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        return ctx.convolution.slopes(slopes[0], ctx.images), None


def _convolved(
    images: Tensor, weights: Tensor, bias: Tensor | None, padding: list[int], stride: list[int]
) -> Tensor:
    return cast(Tensor, torch.ops.mkldnn._convolution_pointwise.default(
        images, weights, bias, padding, stride, [1, 1], 1, "none", [], ""
    ))


def _fits(convolution: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether a `PackedConvolution` can take its place, and gains by it."""
    return (
        type(convolution) is nn.Conv2d
        and convolution.weight.numel() >= _MANY
        and convolution.weight.dtype == torch.float32
        and convolution.weight.device.type == "cpu"
        and not convolution.weight.requires_grad
        and convolution.groups == 1
        and convolution.dilation == (1, 1)
        and convolution.padding_mode == "zeros"
        and not isinstance(convolution.padding, str)
        and all(cut < size for cut, size in
                zip(convolution.padding, convolution.kernel_size, strict=True))
    )
