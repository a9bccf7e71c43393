"""A convolution at the entrance of a network and the max-pooling behind it, with one way back.

Of the places that a max-pooling reads, one in four or nine has a gradient. To spread those out over
zeros, and then to multiply all of them with the weights, takes a fifth of the time of a small
network's way back to the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from robench.entrance import fits

_LARGEST = 2**23
"""How many values a table of weights may have: 32 MB of float32."""

Pair = tuple[int, int]


def with_pooled_entrance(network: nn.Module) -> nn.Module:
    """`network`, of whose graph each convolution of few channels that only a max-pooling reads is
    exchanged, with it, for a `PooledEntrance`; any other network as it is."""
    if not isinstance(network, fx.GraphModule):
        return network
    modules = dict(network.named_modules())
    targets = [node.target for node in network.graph.nodes if node.op == "call_module"]
    joined = False
    for pooling in list(network.graph.nodes):
        convolution = _before(pooling)
        if convolution is None or targets.count(convolution.target) > 1:
            continue
        layer, pool = (modules[str(node.target)] for node in (convolution, pooling))
        if not (fits(layer) and _pair(layer.dilation) == (1, 1) and _pools(pool)):
            continue
        parent, _, own = str(convolution.target).rpartition(".")
        setattr(network.get_submodule(parent), own, PooledEntrance(layer, pool))
        pooling.replace_all_uses_with(convolution)
        network.graph.erase_node(pooling)
        joined = True
    if joined:
        network.recompile()
    return network


class PooledEntrance(nn.Module):
    """A convolution with frozen weights, and a max-pooling of what comes out.

    Its gradient in a pixel sums, over the channels of the pooled places around, their gradient
    times the weight with which the place that was the largest has seen the pixel: a table has, for
    each channel and each place in the pooling's window, the patch of pixels below the window as it
    is seen from there.
    """

    def __init__(self, convolution: nn.Conv2d, pooling: nn.MaxPool2d) -> None:
        super().__init__()
        self.convolution = convolution
        self.pooling = pooling
        self._seen: dict[tuple[torch.Size, torch.dtype], _Seen | None] = {}

    def forward(self, images: Tensor) -> Tensor:
        if images.requires_grad and torch.is_grad_enabled():
            kind = images.shape[2:], self.convolution.weight.dtype
            if kind not in self._seen:
                self._seen[kind] = _Seen.by(self.convolution, self.pooling, images.shape[2:])
            seen = self._seen[kind]
            if seen is not None:
                return _Pooled.apply(images, self, seen)  # type: ignore[no-any-return]
        return self.pooling(self.convolution(images))  # type: ignore[no-any-return]


class _Pooled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, layer: PooledEntrance, seen: _Seen) -> Tensor:
        pool = layer.pooling
        pooled, places = functional.max_pool2d(
            layer.convolution(images), pool.kernel_size, pool.stride, pool.padding,
            return_indices=True,
        )
        ctx.seen, ctx.places, ctx.dtype, ctx.rows = seen, places, images.dtype, None
        return pooled

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        if ctx.rows is None:  # at the first of several ways back
            ctx.rows, ctx.places = ctx.seen.rows(ctx.places), None
        return ctx.seen.slopes(slopes[0], ctx.rows).to(ctx.dtype), None, None


@dataclass(frozen=True)
class _Seen:
    """What the places of a convolution's output have seen of images of `size`.

    `table` has a row of C·P·Q weights, those of a patch of pixels, for each channel and each place
    below a pooled one; `first` H'×W'×K is the row of place 0 of the convolution's output for each
    pooled one, `wide` the width of that output. The patches are `apart` pixels apart, and begin
    `ahead` pixels outside of the image.
    """

    table: Tensor
    first: Tensor
    size: torch.Size
    patch: Pair
    apart: Pair
    ahead: Pair

    @classmethod
    def by(cls, convolution: nn.Conv2d, pooling: nn.MaxPool2d, size: torch.Size) -> _Seen | None:
        """None where the table would be too large."""
        weights = convolution.weight
        kernel, stride, padding = (
            _pair(each) for each in (convolution.kernel_size, convolution.stride,
                                     convolution.padding)
        )
        window, step, edge = (
            _pair(each) for each in (pooling.kernel_size, pooling.stride, pooling.padding)
        )
        convolved = _outputs(_pair(size), kernel, stride, padding)
        pooled = _outputs(convolved, window, step, edge)
        patch = _pair([(window[at] - 1) * stride[at] + kernel[at] for at in (0, 1)])
        wide = convolved[1]
        below = (window[0] - 1) * wide + window[1]  # rows, of which most are of no place below
        channels, colours = weights.shape[:2]
        if channels * below * colours * patch[0] * patch[1] > _LARGEST:
            return None
        table = weights.new_zeros(channels, below, colours, *patch)
        for down in range(window[0]):
            for across in range(window[1]):
                top, left = down * stride[0], across * stride[1]
                table[:, down * wide + across, :, top:top + kernel[0], left:left + kernel[1]] = (
                    weights
                )
        corner = (torch.arange(pooled[0]) * step[0] - edge[0])[:, None] * wide + (
            torch.arange(pooled[1]) * step[1] - edge[1]
        )
        return cls(
            table=table.flatten(2).flatten(0, 1),
            first=torch.arange(channels) * below - corner[..., None],
            size=size, patch=patch, apart=_pair([stride[at] * step[at] for at in (0, 1)]),
            ahead=_pair([edge[at] * stride[at] + padding[at] for at in (0, 1)]),
        )

    def rows(self, places: Tensor) -> Tensor:
        """The rows of the table, (N·H'·W')×K, for places N×K×H'×W' in the convolution's output."""
        return (places.permute(0, 2, 3, 1) + self.first).flatten(0, 2)

    def slopes(self, slope: Tensor, rows: Tensor) -> Tensor:
        """The gradient N×C×H×W in the pixels, from that N×K×H'×W' in the pooled places."""
        steep = slope.to(self.table.dtype).permute(0, 2, 3, 1).reshape(rows.shape)
        patches = functional.embedding_bag(rows, self.table, mode="sum", per_sample_weights=steep)
        pooled = _pair(slope.shape[2:])
        reached = _pair([(pooled[at] - 1) * self.apart[at] + self.patch[at] for at in (0, 1)])
        images = functional.fold(
            patches.view(len(slope), pooled[0] * pooled[1], -1).transpose(1, 2),
            reached, self.patch, stride=self.apart,
        )
        (top, left), (height, width) = self.ahead, self.size
        inside = images[:, :, top:top + height, left:left + width]
        below, right = height - inside.shape[2], width - inside.shape[3]
        return functional.pad(inside, (0, right, 0, below)) if below or right else inside


def _outputs(size: Pair, kernel: Pair, stride: Pair, padding: Pair) -> Pair:
    return _pair([(size[at] + 2 * padding[at] - kernel[at]) // stride[at] + 1 for at in (0, 1)])


def _pair(value: object) -> Pair:
    first, second = value if isinstance(value, (tuple, list)) else (value, value)
    return int(first), int(second)


def _before(pooling: fx.Node) -> fx.Node | None:
    """The call of a module that only this call of a module reads, where there is one."""
    if pooling.op != "call_module" or len(pooling.args) != 1 or pooling.kwargs:
        return None
    before = pooling.args[0]
    if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) > 1:
        return None
    return before


def _pools(layer: nn.Module) -> TypeGuard[nn.MaxPool2d]:
    """Whether this is a max-pooling in windows that do not overlap: of others as much is read
    several times as is not read of these."""
    if type(layer) is not nn.MaxPool2d or layer.return_indices or layer.ceil_mode:
        return False
    apart = zip(_pair(layer.kernel_size), _pair(layer.stride), strict=True)
    return _pair(layer.dilation) == (1, 1) and all(size <= step for size, step in apart)
