"""MedDef (2025): a ResNet-18 with a defense module and self-attention, and its ablations."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import get_args

import torch
from torch import Tensor, nn

from robench.errors import UserError, nearest
from robench.models.meddef_blocks import DETECTORS, Across, DefenseModule, SelfAttention
from robench.models.pretrained import start_from_imagenet
from robench.models.resnet import Stem, resnet18
from robench.normalisation import expecting

_CHANNELS = 512
_WEIGHTS = "resnet18.tv_in1k"
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_KEPT = ("fusion", "channel-attention", "self-attention", "feature-fusion")


class MedDef(nn.Module):
    """C(A(D(B(x)))), Eq. 6: from pixels N×C×H×W to logits N×`num_classes`.

    `backbone` (B) gives a map of 512 channels. The feature fusion joins its defended version,
    averaged over the map, with the mean of the attended tokens.
    """

    def __init__(
        self, backbone: nn.Module, *, num_classes: int, without: Sequence[str], dropout: float,
        attention: Across,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.defense = DefenseModule(_CHANNELS, without=without)
        self.self_attention = SelfAttention(_CHANNELS, across=attention)
        self.feature_fusion = nn.Sequential(
            nn.Linear(2 * _CHANNELS, _CHANNELS), nn.ReLU(), nn.Dropout(dropout)
        )
        self.head = nn.Linear(_CHANNELS, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        defended = self.defense(self.backbone(images))
        attended = self.self_attention(defended)
        pooled = torch.cat([defended.mean(dim=(2, 3)), attended.mean(dim=1)], dim=1)
        logits: Tensor = self.head(self.feature_fusion(pooled))
        return logits


def meddef(
    *, num_classes: int, in_channels: int, image_size: tuple[int, int],
    without: Sequence[str] = (), dropout: float = 0.3, attention: Across = "spatial",
    stem: Stem = "imagenet", pretrained: bool | str = False,
) -> nn.Module:
    """MedDef for N×`in_channels`×H×W pixels in [0,1], images of any size and shape.

    `without` names the defensive modules to leave out, of afd, mfe and msf; the paper's ablations
    are [afd], [afd, mfe] and all three. `dropout` is 3.8's (3.7 prints 0.2). `attention` is over
    the positions of the map ("spatial", as the authors' source) or over its channels ("channel",
    as 3.7 has it). `stem` is that of `resnet18`; the printed parameter counts hold for "imagenet".
    `pretrained` as in `start_from_imagenet`, for the backbone: the paper trains from scratch, on
    pixels as they are; ImageNet weights bring their mean and std with them.
    """
    if not 0 <= dropout < 1:
        raise UserError("dropout", got=dropout, expected="a number in [0, 1)")
    if attention not in get_args(Across):
        raise UserError("attention", got=attention, expected=" or ".join(get_args(Across)))
    _check_without(without)
    backbone = _backbone(in_channels, image_size, stem)
    network = MedDef(
        backbone, num_classes=num_classes, without=without, dropout=dropout, attention=attention
    )
    start_from_imagenet(backbone, _WEIGHTS, pretrained, in_channels=in_channels)
    if pretrained is False:
        return expecting(network, [0.0] * in_channels, [1.0] * in_channels)
    return expecting(network, *_IMAGENET)


meddef_wo_afd = partial(meddef, without=("afd",))
meddef_wo_afd_mfe = partial(meddef, without=("afd", "mfe"))
meddef_wo_afd_mfe_msf = partial(meddef, without=("afd", "mfe", "msf"))


def _backbone(in_channels: int, image_size: tuple[int, int], stem: Stem) -> nn.Sequential:
    """ResNet-18 up to its last map, its tensors named as in the whole network."""
    whole = resnet18(num_classes=1, in_channels=in_channels, image_size=image_size, stem=stem)
    return nn.Sequential(OrderedDict(
        (name, layer) for name, layer in whole.named_children() if name not in ("avgpool", "fc")
    ))


def _check_without(without: Sequence[str]) -> None:
    known = ", ".join(DETECTORS)
    if isinstance(without, str) or not isinstance(without, Sequence):
        raise UserError("without", got=without, expected=f"a list with any of {known}")
    for name in without:
        if name in _KEPT:
            raise UserError(f"without: '{name}' cannot be left out",
                            expected=f"any of {known}; every variant keeps {', '.join(_KEPT)}")
        if name not in DETECTORS:
            raise UserError("without: unknown block", got=name, expected=f"any of {known}",
                            nearest=nearest(str(name).lower(), [*DETECTORS, *_KEPT]))
