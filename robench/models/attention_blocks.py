"""Attention blocks that Chen et al. 2021 put into ResNet-34: CBAM, BAM and self-attention.

All take a feature map N×C×H×W, float, of any size from 1×1 upwards, and keep its shape.
"""

from __future__ import annotations

import torch
from timm.layers.cbam import CbamModule
from torch import Tensor, nn

_REDUCTION = 16
_DILATION = 4


def cbam(channels: int) -> nn.Module:
    """CBAM (Woo et al., ECCV 2018), timm's: channel attention, then spatial attention.

    As in the authors' public source, the shared perceptron has biases and the BatchNorm after the
    7×7 convolution a momentum of 0.01; neither is timm's default.
    """
    block: nn.Module = CbamModule(
        channels, rd_ratio=1 / _REDUCTION, spatial_kernel_size=7, mlp_bias=True
    )
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.01
    return block


class BottleneckAttention(nn.Module):
    """BAM (Park et al., BMVC 2018): x·(1 + sigmoid(channel(x)·spatial(x)))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // _REDUCTION, 1)
        self.channel = nn.Sequential(
            nn.Linear(channels, hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
            nn.Linear(hidden, channels),
        )
        self.spatial = nn.Sequential(
            *_conv_bn_relu(channels, hidden, kernel_size=1, dilation=1),
            *_conv_bn_relu(hidden, hidden, kernel_size=3, dilation=_DILATION),
            *_conv_bn_relu(hidden, hidden, kernel_size=3, dilation=_DILATION),
            nn.Conv2d(hidden, 1, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        channel = self.channel(features.mean(dim=(2, 3)))[:, :, None, None]
        weighed: Tensor = features * (1 + torch.sigmoid(channel * self.spatial(features)))
        return weighed


class SelfAttention(nn.Module):
    """Self-attention over positions (Zhang et al., SAGAN, ICML 2019): x + γ·attended, γ first 0.

    Queries and keys have an eighth of the channels; their products are not scaled.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 8, 1)
        self.key = nn.Conv2d(channels, channels // 8, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        query, key, value = (
            projection(features).flatten(2) for projection in (self.query, self.key, self.value)
        )
        weights = torch.softmax(query.transpose(1, 2) @ key, dim=2)  # N×positions×positions
        attended = (value @ weights.transpose(1, 2)).reshape(features.shape)
        changed: Tensor = features + self.gamma * attended
        return changed


def _conv_bn_relu(
    in_channels: int, out_channels: int, *, kernel_size: int, dilation: int
) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, kernel_size, dilation=dilation,
                  padding=dilation * (kernel_size // 2)),
        nn.BatchNorm2d(out_channels), nn.ReLU(),
    ]
