"""Deep residual shrinkage networks: alone on images, and behind a backbone's feature map.

Sources: Zhao et al., IEEE TII 16(7), 2020 (the units and their stacking); Gopalakrishnan, Joseph,
Srikanth 2025, "Identify Vulnerability of Adversarial Attack on Medical Images Using Deep
Residual Shrinkage Network with Total Variation Loss Function" (EfficientNet-B7 in front).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal, get_args

from torch import Tensor, nn

from robench.errors import UserError, nearest
from robench.models.backbone import Backbone, feature_map
from robench.models.shrinkage import (
    ResidualShrinkageUnit,
    Threshold,
    check_units,
    draw_he_normal,
    shrinkages,
)
from robench.normalisation import expecting

Head = Literal["diagnosis", "detection"]
Stem = Literal["auto", "small", "strided"]

_SMALL_UP_TO = 48
_STRIDES = {"small": (1, 1, 2, 2), "strided": (2, 2, 2, 2)}


def drsn(
    *, num_classes: int, in_channels: int, image_size: tuple[int, int], width: int = 16,
    units: int = 4, stem: Stem = "auto", threshold: Threshold = "channel-wise",
    fc_reduction: int = 4, dropout: float = 0.0, head: Head = "diagnosis",
) -> nn.Module:
    """Residual shrinkage units on pixels N×`in_channels`×H×W, logits N×`num_classes`.

    A 3×3 convolution, then three stages of `units` units with `width`, 2·`width` and 4·`width`
    channels, BN, ReLU, average pooling, linear: Zhao et al.'s table II, whose widths for signals
    are 4, 8, 16. `stem`: strides of the convolution and of the three stages; "strided" as in
    table II (2, 2, 2, 2), "small" as in the authors' CIFAR-10 code (1, 1, 2, 2), "auto" is small
    for images up to 48 pixels. `fc_reduction` 4 is that code's, 1 the paper's. `head`: see
    `drsn_tvl`. Raises UserError naming the parameter that is not usable.
    """
    _check(width=width, units=units, dropout=dropout, head=head, num_classes=num_classes)
    check_units(threshold=threshold, fc_reduction=fc_reduction)
    if stem not in get_args(Stem):
        raise UserError("stem", got=stem, expected=" or ".join(get_args(Stem)))
    small = stem == "small" or (stem == "auto" and max(image_size) <= _SMALL_UP_TO)
    first, *strides = _STRIDES["small" if small else "strided"]
    smallest = 4 if small else 16
    if min(image_size) < smallest:
        raise UserError("image_size", got=tuple(image_size),
                        expected=f"at least {smallest} pixels a side: the stem and stages of "
                                 f"this network halve the image down to 1/{smallest}")
    layers: list[nn.Module] = []
    channels = width
    for stage, stride in enumerate(strides):
        layers += _stage(channels, width * 2**stage, units, stride, threshold, fc_reduction)
        channels = width * 2**stage
    convolution = nn.Conv2d(in_channels, width, 3, stride=first, padding=1)
    draw_he_normal(convolution)
    network = nn.Sequential(OrderedDict([
        ("stem", convolution),
        ("units", nn.Sequential(*layers)),
        ("head", _head(channels, num_classes, dropout)),
    ]))
    return expecting(network, [0.5] * in_channels, [0.25] * in_channels)


class DrsnTvl(nn.Module):
    """A backbone's feature map through residual shrinkage units to logits."""

    def __init__(self, backbone: Backbone, units: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.units = units
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.units(self.backbone(images)))
        return logits


def drsn_tvl(
    *, num_classes: int, in_channels: int, image_size: tuple[int, int],
    backbone: str = "tf_efficientnet_b7.aa_in1k", pretrained: bool | str = False,
    width: int = 256, units: int = 4, threshold: Threshold = "channel-wise",
    fc_reduction: int = 4, dropout: float = 0.3, head: Head = "diagnosis",
) -> nn.Module:
    """Backbone, one stage of shrinkage units, BN-ReLU-average pooling, dropout, linear.

    Pixels N×`in_channels`×H×W to logits N×`num_classes`. `backbone`: a network of timm with a
    feature map, by its name there; `pretrained`: see `feature_map`. `units` units of `width`
    channels work on that map without a stride (2,560×7×7 for EfficientNet-B7 at 224 pixels).
    `head`: "diagnosis", a logit for each class; "detection", the two of clean and attacked, for
    which `num_classes` must be 2. The total variation is no part of the network: the recipe
    `tvl` adds it to the loss. Raises UserError naming the parameter that is not usable.
    """
    _check(width=width, units=units, dropout=dropout, head=head, num_classes=num_classes)
    check_units(threshold=threshold, fc_reduction=fc_reduction)
    features = feature_map(
        backbone, pretrained, in_channels=in_channels, image_size=image_size
    )
    network = DrsnTvl(
        features,
        nn.Sequential(*_stage(features.channels, width, units, 1, threshold, fc_reduction)),
        _head(width, num_classes, dropout),
    )
    return expecting(network, features.mean, features.std)


def drsn_without_tvl(
    *, num_classes: int, in_channels: int, image_size: tuple[int, int],
    backbone: str = "tf_efficientnet_b7.aa_in1k", pretrained: bool | str = False,
    width: int = 256, units: int = 4, threshold: Threshold = "channel-wise",
    fc_reduction: int = 4, dropout: float = 0.3, head: Head = "diagnosis",
) -> nn.Module:
    """The network of `drsn_tvl`, of whose maps the recipe `tvl` counts none (the paper's table 8).

    Under that recipe it is trained with the same settings and a total variation of weight 0.
    """
    network = drsn_tvl(
        num_classes=num_classes, in_channels=in_channels, image_size=image_size,
        backbone=backbone, pretrained=pretrained, width=width, units=units, threshold=threshold,
        fc_reduction=fc_reduction, dropout=dropout, head=head,
    )
    for module in shrinkages(network):
        module.smoothed = False
    return network


def _stage(
    in_channels: int, channels: int, units: int, stride: int, threshold: Threshold,
    fc_reduction: int,
) -> list[nn.Module]:
    return [
        ResidualShrinkageUnit(
            channels if number else in_channels, channels, stride=1 if number else stride,
            threshold=threshold, fc_reduction=fc_reduction,
        )
        for number in range(units)
    ]


def _head(channels: int, num_classes: int, dropout: float) -> nn.Module:
    return nn.Sequential(OrderedDict([
        ("norm", nn.BatchNorm2d(channels)),
        ("activation", nn.ReLU()),
        ("pool", nn.AdaptiveAvgPool2d(1)),
        ("flatten", nn.Flatten()),
        ("dropout", nn.Dropout(dropout)),
        ("linear", nn.Linear(channels, num_classes)),
    ]))


def _check(
    *, width: object, units: object, dropout: object, head: object, num_classes: int
) -> None:
    for name, value in (("width", width), ("units", units)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(name, got=value, expected="a whole number ≥ 1")
    number = isinstance(dropout, (int, float)) and not isinstance(dropout, bool)
    if not number or not 0 <= dropout < 1:  # type: ignore[operator]
        raise UserError("dropout", got=dropout, expected="a number of at least 0 and below 1")
    heads = get_args(Head)
    if head not in heads:
        raise UserError("head", got=head, expected=" or ".join(heads),
                        nearest=nearest(str(head), heads))
    if head == "detection" and num_classes != 2:
        raise UserError("head: detection tells clean from attacked images", got=num_classes,
                        expected="num_classes 2; head: diagnosis for the classes of a data set")
