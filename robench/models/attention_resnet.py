"""ResNet-34 with attention (Chen et al. 2021): CBAM, BAM, self-attention."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet

from robench.models.attention_blocks import BottleneckAttention, SelfAttention, cbam
from robench.models.resnet import LAYERS_34, Stem, fitted, resnet34

_WEIGHTS = "resnet34.tv_in1k"


class CbamBlock(BasicBlock):  # type: ignore[misc]
    """A BasicBlock with CBAM after its second BatchNorm, before the residual is added."""

    def __init__(self, in_channels: int, channels: int, *args: Any, **settings: Any) -> None:
        super().__init__(in_channels, channels, *args, **settings)
        self.attention = cbam(channels)

    def forward(self, features: Tensor) -> Tensor:
        residual = self.relu(self.bn1(self.conv1(features)))
        residual = self.attention(self.bn2(self.conv2(residual)))
        kept = features if self.downsample is None else self.downsample(features)
        activated: Tensor = self.relu(residual + kept)
        return activated


def cbam_resnet34(
    *, num_classes: int, in_channels: int, image_size: tuple[int, int], stem: Stem = "auto",
    pretrained: bool | str = False,
) -> nn.Module:
    """ResNet-34 with CBAM in each of its 16 blocks, for N×`in_channels`×H×W pixels.

    `stem` and `pretrained` as for `resnet34`; the attention starts at random in any case.
    """
    network = ResNet(CbamBlock, list(LAYERS_34), num_classes=num_classes)
    return fitted(
        network, in_channels=in_channels, image_size=image_size, stem=stem,
        weights=_WEIGHTS, pretrained=pretrained, added=[".attention."],
    )


def bam_resnet34(
    *, num_classes: int, in_channels: int, image_size: tuple[int, int], stem: Stem = "auto",
    pretrained: bool | str = False,
) -> nn.Module:
    """ResNet-34 with BAM after its stages 1, 2 and 3, for N×`in_channels`×H×W pixels.

    `stem` and `pretrained` as for `resnet34`.
    """
    network = resnet34(
        num_classes=num_classes, in_channels=in_channels, image_size=image_size, stem=stem,
        pretrained=pretrained,
    )
    for stage, channels in (("layer1", 64), ("layer2", 128), ("layer3", 256)):
        network.get_submodule(stage).add_module("attention", BottleneckAttention(channels))
    return network


def selfattn_resnet34(
    *, num_classes: int, in_channels: int, image_size: tuple[int, int], stem: Stem = "auto",
    pretrained: bool | str = False,
) -> nn.Module:
    """ResNet-34 with self-attention on its last map, for N×`in_channels`×H×W pixels.

    `stem` and `pretrained` as for `resnet34`.
    """
    network = resnet34(
        num_classes=num_classes, in_channels=in_channels, image_size=image_size, stem=stem,
        pretrained=pretrained,
    )
    network.get_submodule("layer4").add_module("attention", SelfAttention(512))
    return network
