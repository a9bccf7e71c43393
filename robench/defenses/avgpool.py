"""Average pooling in place of max-pooling."""

from __future__ import annotations

from torch import nn

from robench.defenses.replace import with_layers_replaced
from robench.errors import UserError


def avgpool_for_maxpool(network: nn.Module) -> nn.Module:
    """A copy of `network` with average-pooling layers where it has max-pooling ones.

    Taghanaki, Das, Hamarneh 2018 (arXiv 1807.02905), after Muoka et al. 2023, 3.2.2. Window,
    stride and padding stay; padded pixels are not averaged over. Raises UserError for a network
    without nn.MaxPool2d, and for one whose windows have gaps or whose indices are asked for.
    """
    return with_layers_replaced(network, nn.MaxPool2d, _averaging, what="max-pooling")


def _averaging(layer: nn.Module) -> nn.Module:
    assert isinstance(layer, nn.MaxPool2d)
    if layer.dilation not in (1, (1, 1), [1, 1]) or layer.return_indices:
        raise UserError("a max-pooling layer that has no average-pooling counterpart",
                        got=str(layer), expected="dilation 1, and no indices returned")
    from timm.layers.pool2d_same import AvgPool2dSame, MaxPool2dSame

    # timm's pads each image to what TensorFlow would.
    if isinstance(layer, MaxPool2dSame):
        same: nn.Module = AvgPool2dSame(
            layer.kernel_size, stride=layer.stride, ceil_mode=layer.ceil_mode,
            count_include_pad=False,
        )
        return same
    return nn.AvgPool2d(layer.kernel_size, stride=layer.stride, padding=layer.padding,
                        ceil_mode=layer.ceil_mode, count_include_pad=False)
