"""ResNet-18 and ResNet-34 (He et al. 2016), with a stem that suits the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torchvision
from torch import nn
from torchvision.models import ResNet

from robench.errors import UserError
from robench.models.pretrained import start_from_imagenet
from robench.normalisation import expecting

Stem = Literal["auto", "imagenet", "small"]

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_SMALL_UP_TO = 48

LAYERS_34 = (3, 4, 6, 3)
"""Blocks in the four stages of ResNet-34."""


def resnet18(
    *, num_classes: int, in_channels: int, image_size: tuple[int, int], stem: Stem = "auto",
    pretrained: bool | str = False,
) -> nn.Module:
    """torchvision's ResNet-18 for N×`in_channels`×H×W pixels.

    `stem`: "imagenet" is the 7×7 convolution and max-pooling, "small" one 3×3 convolution of
    stride 1; "auto" takes the small one for images up to 48 pixels. `pretrained`: see
    `start_from_imagenet`. Raises UserError naming the setting that does not fit.
    """
    network = torchvision.models.resnet18(weights=None, num_classes=num_classes)
    return fitted(
        network, in_channels=in_channels, image_size=image_size, stem=stem,
        weights="resnet18.tv_in1k", pretrained=pretrained,
    )


def resnet34(
    *, num_classes: int, in_channels: int, image_size: tuple[int, int], stem: Stem = "auto",
    pretrained: bool | str = False,
) -> nn.Module:
    """torchvision's ResNet-34 for N×`in_channels`×H×W pixels; settings as for `resnet18`."""
    network = torchvision.models.resnet34(weights=None, num_classes=num_classes)
    return fitted(
        network, in_channels=in_channels, image_size=image_size, stem=stem,
        weights="resnet34.tv_in1k", pretrained=pretrained,
    )


def fitted(
    network: ResNet, *, in_channels: int, image_size: tuple[int, int], stem: Stem, weights: str,
    pretrained: bool | str, added: Sequence[str] = (),
) -> nn.Module:
    """`network` with the stem and the first weights asked for, stating ImageNet's mean and std.

    `weights` is timm's name for `pretrained`, `added` as for `start_from_imagenet`.
    """
    if stem not in ("auto", "imagenet", "small"):
        raise UserError("stem", got=stem, expected="auto, imagenet or small")
    small = stem == "small" or (stem == "auto" and max(image_size) <= _SMALL_UP_TO)
    if small and pretrained is not False:
        raise UserError("pretrained: ImageNet weights are for the ImageNet stem",
                        got=f"stem {stem} for {image_size[0]}×{image_size[1]} pixels",
                        expected="stem: imagenet, or pretrained: false")
    if small:
        network.conv1 = nn.Conv2d(in_channels, 64, 3, stride=1, padding=1, bias=False)
        network.maxpool = nn.Identity()
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    elif in_channels != 3:
        network.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    start_from_imagenet(network, weights, pretrained, in_channels=in_channels, added=added)
    return expecting(network, *_IMAGENET)
