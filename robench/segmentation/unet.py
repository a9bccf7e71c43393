"""U-Net (Ronneberger, Fischer, Brox, MICCAI 2015, arXiv 1505.04597), with padded convolutions.

Built here: MONAI's BasicUNet keeps 128 channels in its last transposed convolution where the
paper halves them, its DynUNet and UNet halve the map by strided convolutions, and a network of
the registry should not need an optional package.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from robench.errors import UserError
from robench.normalisation import expecting

_FACTORS = (1, 2, 4, 8, 16)
_SMALLEST = 16


def unet(
    *, num_classes: int, in_channels: int, image_size: tuple[int, int], width: int = 64
) -> nn.Module:
    """U-Net of `width`, 2·`width`, … 16·`width` channels: 64-128-256-512-1024 by default.

    Pixels N×`in_channels`×H×W to logits N×`num_classes`×H×W. `num_classes` counts the maps: 1
    for a binary mask (its logit), K for classes 0..K-1. Sizes other than `image_size` work too.
    Widths: Muoka et al. 2023, table 3. Raises UserError for parameters that are not usable.
    """
    for name, value in (("num_classes", num_classes), ("in_channels", in_channels),
                        ("width", width)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(name, got=value, expected="a whole number ≥ 1")
    if min(image_size) < _SMALLEST:
        raise UserError("image_size", got=tuple(image_size),
                        expected=f"at least {_SMALLEST}×{_SMALLEST}, as the map is halved 4 times")
    network = UNet(in_channels, num_classes, [factor * width for factor in _FACTORS])
    return expecting(network, [0.5] * in_channels, [0.25] * in_channels)


class DoubleConvolution(nn.Sequential):
    """Two 3×3 convolutions of the same size, each with BatchNorm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        layers: list[nn.Module] = []
        for channels in (in_channels, out_channels):
            convolution = nn.Conv2d(channels, out_channels, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(convolution.weight, mode="fan_in", nonlinearity="relu")
            layers += [convolution, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]
        super().__init__(*layers)


class UNet(nn.Module):
    """Images N×`in_channels`×H×W to maps N×`out_channels`×H×W, for any H and W.

    `widths`: the channels of each scale, from the whole map to the smallest, each twice the one
    before it. Between scales the map is halved by 2×2 max-pooling and doubled by a 2×2
    transposed convolution that halves the channels; each scale's map on the way down is joined
    to the one on the way up.
    """

    def __init__(self, in_channels: int, out_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(
            DoubleConvolution(before, after) for before, after in pairwise([in_channels, *widths])
        )
        upwards = list(reversed(widths[:-1]))
        self.upsample = nn.ModuleList(
            nn.ConvTranspose2d(2 * channels, channels, 2, stride=2) for channels in upwards
        )
        self.decoder = nn.ModuleList(
            DoubleConvolution(2 * channels, channels) for channels in upwards
        )
        self.head = nn.Conv2d(widths[0], out_channels, 1)
        self.multiple = 2 ** (len(widths) - 1)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        # Zeros beyond the border, as each convolution has them: halving loses no row or column.
        features = functional.pad(
            images, (0, -width % self.multiple, 0, -height % self.multiple)
        )
        joined: list[Tensor] = []
        for stage in self.encoder[:-1]:
            features = stage(features)
            joined.append(features)
            features = functional.max_pool2d(features, 2)
        features = self.encoder[-1](features)
        for upsample, stage in zip(self.upsample, self.decoder, strict=True):
            features = stage(torch.cat([joined.pop(), upsample(features)], dim=1))
        maps: Tensor = self.head(features)
        return maps[..., :height, :width]
