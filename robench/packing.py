"""Convolutions of many weights, which a CPU's library finds laid out as its kernels read them.

A library's kernels read weights in blocks of the machine's own width. Called with plain ones it
lays them out anew at every pass, there and back, which takes a third of the time of a network with
many channels and few places, such as a residual network of small images.
"""

from __future__ import annotations

import copy
from typing import Any, Self, TypeGuard, cast

import torch
from torch import Tensor, nn

_MANY = 2**17
"""Of so many weights at least: below, laying them out costs less than a function of our own."""
_ROWS = 32
"""Weights are laid out for so many images, whatever the batch: one layout, one set of bits."""


def with_packed_weights(network: nn.Module) -> nn.Module | None:
    """A copy of `network`, its convolutions of many weights exchanged for a `PackedConvolution`
    each, which read the same weights; None where there are none, or no kernels for them."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    packed = {id(layer): PackedConvolution.of(layer)
              for layer in network.modules() if _fits(layer)}
    weights = {id(tensor): tensor for tensor in [*network.parameters(), *network.buffers()]}
    return copy.deepcopy(network, {**packed, **weights}) if packed else None


class PackedConvolution(nn.Conv2d):
    """A convolution with frozen weights of float32, which are laid out once.

    Its gradient in its input is, for a stride of 1, the convolution of the output's gradient with
    the kernels turned round. Other arithmetic than float32 takes the layer's own way.
    """

    _there: Tensor | None
    _back: Tensor | None

    @classmethod
    def of(cls, convolution: nn.Conv2d) -> Self:
        """The same layer, with the same weights."""
        made = cls.__new__(cls)
        made.__dict__ = {**convolution.__dict__, "_there": None, "_back": None}
        return made

    def forward(self, input: Tensor) -> Tensor:
        if input.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        if input.requires_grad and torch.is_grad_enabled():
            return _Convolved.apply(input, self)  # type: ignore[no-any-return]
        return self.outputs(input)

    def outputs(self, images: Tensor) -> Tensor:
        """N×K×H'×W' of float32 images N×C×H×W."""
        if self._there is None:
            self._there = _laid_out(self.weight, images, self._padding, self._stride)
        return _convolved(images, self._there, self.bias, self._padding, self._stride)

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
        if self._back is None:
            turned = self.weight.transpose(0, 1).flip(2, 3)
            self._back = _laid_out(turned, last, padding, [1, 1])
        return _convolved(last, self._back, None, padding, [1, 1])

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


def _laid_out(weights: Tensor, images: Tensor, padding: list[int], stride: list[int]) -> Tensor:
    last = weights.contiguous(memory_format=torch.channels_last)
    return cast(Tensor, torch.ops.aten.mkldnn_reorder_conv2d_weight.default(
        last.to_mkldnn(), padding, stride, [1, 1], 1, [_ROWS, *images.shape[1:]]
    ))


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
