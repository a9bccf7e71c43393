"""The blocks of MedDef's Defense-Aware Attention Mechanism (MedDef 2025, 3.3).

Every block takes a feature map N×C×H×W, float, of any size from 1×1 upwards. All convolutions
have a bias, as the printed parameter counts need. Where the equations and the authors' public
source differ, the order of layers is the source's; the card says where.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Across = Literal["spatial", "channel"]

_GRIDS = (2, 4, 8)


class AdversarialFeatureDetection(nn.Module):
    """AFD, Eq. 2: x + C(x·m), with a mask m in (0,1) for each value. Keeps the shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mask = nn.Sequential(
            *_conv_bn_relu(channels, channels), _depthwise(channels, 3), nn.Sigmoid()
        )
        self.cleaner = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        cleaned: Tensor = self.cleaner(features * self.mask(features))
        return features + cleaned


class MedicalFeatureExtraction(nn.Module):
    """MFE, Eq. 3: edges and texture beside x, brought together by a 1×1 convolution.

    Keeps the shape. Edge and texture filters are depthwise.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.edge = nn.Sequential(_depthwise(channels, 3), nn.Tanh())
        self.texture = nn.Sequential(_depthwise(channels, 5), nn.BatchNorm2d(channels), nn.ReLU())
        self.aggregate = nn.Sequential(*_conv_bn_relu(3 * channels, channels))

    def forward(self, features: Tensor) -> Tensor:
        views = [features, self.edge(features), self.texture(features)]
        aggregated: Tensor = self.aggregate(torch.cat(views, dim=1))
        return aggregated


class MultiScaleFeatures(nn.Module):
    """MSF, Eq. 4: x beside its averages on grids of 2×2, 4×4 and 8×8 cells. Keeps the shape.

    The grids are those whatever the map's size; on a map smaller than a grid, cells share pixels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scales = nn.ModuleDict({
            str(grid): nn.Sequential(*_conv_bn_relu(channels, channels)) for grid in _GRIDS
        })
        self.fuse = nn.Sequential(
            *_conv_bn_relu((1 + len(_GRIDS)) * channels, 2 * channels),
            nn.Conv2d(2 * channels, channels, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        size = (features.shape[2], features.shape[3])
        views = [features]
        for grid, scale in self.scales.items():
            views.append(stretched(scale(averaged(features, int(grid))), size))
        fused: Tensor = self.fuse(torch.cat(views, dim=1))
        return fused


class ChannelAttention(nn.Module):
    """Ω of Eq. 5: a weight in (0,1) for each channel, N×C×1×1, from the channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.Conv2d(channels, channels // 4, 1), nn.ReLU(),
            nn.Conv2d(channels // 4, channels, 1), nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        weights: Tensor = self.weigh(features.mean(dim=(2, 3), keepdim=True))
        return weights


DETECTORS: dict[str, Callable[[int], nn.Module]] = {
    "afd": AdversarialFeatureDetection,
    "mfe": MedicalFeatureExtraction,
    "msf": MultiScaleFeatures,
}
"""The three defensive modules by name, in the order in which their outputs are joined."""


class DefenseModule(nn.Module):
    """D of Eq. 5: x + Φ·Ω(Φ), with Φ fused from the modules that are not in `without`."""

    def __init__(self, channels: int, *, without: Collection[str] = ()) -> None:
        super().__init__()
        self.detectors = nn.ModuleDict({
            name: block(channels) for name, block in DETECTORS.items() if name not in without
        })
        self.fusion = fusion(channels, len(self.detectors))
        self.channel_attention = ChannelAttention(channels)

    def forward(self, features: Tensor) -> Tensor:
        found = [detector(features) for detector in self.detectors.values()] or [features]
        fused = self.fusion(torch.cat(found, dim=1))
        defended: Tensor = features + fused * self.channel_attention(fused)
        return defended


def fusion(channels: int, detectors: int) -> nn.Sequential:
    """Φ of Eq. 5, from `detectors`·C channels (C where there are none) to C.

    With no or one module left it is what reproduces the ablations' printed parameter counts.
    """
    if detectors == 0:
        return nn.Sequential(
            *_conv_bn_relu(channels, channels, 3),
            nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels),
        )
    if detectors == 1:
        return nn.Sequential(*_conv_bn_relu(channels, channels))
    return nn.Sequential(
        *_conv_bn_relu(detectors * channels, 2 * channels), *_conv_bn_relu(2 * channels, channels)
    )


class SelfAttention(nn.Module):
    """A of Eq. 6: one head over a map N×C×H×W, to tokens N×(H·W)×C; no residual, no norm.

    `across` says what attends to what: "spatial" positions to each other (a token is a position's
    C values), or "channel"s to each other (a token is a channel's H·W values). The projections
    are the same C×C ones in both, and so is the number of parameters.
    """

    def __init__(self, channels: int, *, across: Across = "spatial") -> None:
        super().__init__()
        self.across = across
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.output = nn.Linear(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        positions = features.flatten(2).transpose(1, 2)
        projected = self.query(positions), self.key(positions), self.value(positions)
        if self.across == "channel":
            query, key, value = (part.transpose(1, 2) for part in projected)
            attended = scaled_dot_product(query, key, value).transpose(1, 2)
        else:
            attended = scaled_dot_product(*projected)
        tokens: Tensor = self.output(attended)
        return tokens


def scaled_dot_product(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Eq. 1 over N×tokens×d: softmax(Q·Kᵀ / √d)·V."""
    # torch's fused kernels have no second derivative, and on CUDA no reproducible first one.
    weights = torch.softmax(query @ key.transpose(1, 2) / query.shape[2] ** 0.5, dim=2)
    return weights @ value


def averaged(features: Tensor, grid: int) -> Tensor:
    """`AdaptiveAvgPool2d(grid)`: N×C×H×W to N×C×grid×grid."""
    def cells(length: int) -> Tensor:
        return F.adaptive_avg_pool1d(_unit_vectors(length, features), grid)[0]

    return _resampled(features, cells(features.shape[2]), cells(features.shape[3]))


def stretched(features: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear with corners aligned: N×C×h×w to N×C×`size`."""
    def weights(length: int, wanted: int) -> Tensor:
        return F.interpolate(_unit_vectors(length, features), size=wanted, mode="linear",
                             align_corners=True)[0]

    return _resampled(
        features, weights(features.shape[2], size[0]), weights(features.shape[3], size[1])
    )


def _resampled(features: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    # As matrix products, since the gradients of torch's own kernels for adaptive pooling and
    # bilinear interpolation are sums in no fixed order on CUDA: no two runs agree to the bit.
    return rows.T @ features @ columns


def _unit_vectors(length: int, like: Tensor) -> Tensor:
    """1×`length`×`length`: what a linear map makes of these is its matrix."""
    return torch.eye(length, dtype=like.dtype, device=like.device)[None]


def _conv_bn_relu(in_channels: int, out_channels: int, kernel_size: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2),
        nn.BatchNorm2d(out_channels), nn.ReLU(),
    ]


def _depthwise(channels: int, kernel_size: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels)
