"""ResNet-18 and ResNet-34 (He et al. 2016), with a stem that suits the image."""

from __future__ import annotations

from typing import Literal

import torchvision
from torch import nn

from robench.errors import UserError
from robench.victim import expecting

Stem = Literal["auto", "imagenet", "small"]

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_SMALL_UP_TO = 48


def resnet18(
    *, num_classes: int, in_channels: int, image_size: tuple[int, int], stem: Stem = "auto"
) -> nn.Module:
    """torchvision's ResNet-18 for N×`in_channels`×H×W pixels."""
    network = torchvision.models.resnet18(weights=None, num_classes=num_classes)
    return _fitted(network, in_channels, image_size, stem)


def resnet34(
    *, num_classes: int, in_channels: int, image_size: tuple[int, int], stem: Stem = "auto"
) -> nn.Module:
    """torchvision's ResNet-34 for N×`in_channels`×H×W pixels."""
    network = torchvision.models.resnet34(weights=None, num_classes=num_classes)
    return _fitted(network, in_channels, image_size, stem)


def _fitted(
    network: torchvision.models.ResNet, in_channels: int, image_size: tuple[int, int], stem: Stem
) -> nn.Module:
    if stem not in ("auto", "imagenet", "small"):
        raise UserError("stem", got=stem, expected="auto, imagenet or small")
    small = stem == "small" or (stem == "auto" and max(image_size) <= _SMALL_UP_TO)
    if small:
        network.conv1 = nn.Conv2d(in_channels, 64, 3, stride=1, padding=1, bias=False)
        network.maxpool = nn.Identity()
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    elif in_channels != 3:
        network.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    return expecting(network, *_IMAGENET)
