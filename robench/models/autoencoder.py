"""A denoising auto-encoder, and classifiers that see every image through one."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from robench.errors import UserError
from robench.models.pretrained import start_from_imagenet
from robench.models.resnet import Stem, resnet34
from robench.normalisation import with_normalisation

_SCALES = (1, 2, 4, 8)
_IMAGENET_WEIGHTS = "resnet34.tv_in1k"


class DenoisingAutoencoder(nn.Module):
    """Pixels N×C×H×W to pixels N×C×H×W in (0,1), both float32, for H and W of at least 8.

    A U-Net of `width`, 2·, 4· and 8·`width` maps (Muoka et al. 2023, section 4, have a
    "U-Net-like" one and print no widths): 3×3 convolutions with BatchNorm and LeakyReLU, three
    of them of stride 2; on the way back each map is enlarged to the size of its counterpart, by
    its nearest neighbours, and joined with it. So no size is cut or padded. A sigmoid, not a
    clamp, keeps the pixels in range: gradients pass it everywhere.
    """

    def __init__(self, channels: int, *, width: int = 32) -> None:
        super().__init__()
        widths = [width * scale for scale in _SCALES]
        self.encoder = nn.ModuleList(
            _convolution(before, after, stride=1 if level == 0 else 2)
            for level, (before, after) in enumerate(
                zip([channels, *widths[:-1]], widths, strict=True)
            )
        )
        self.decoder = nn.ModuleList(
            _convolution(below + beside, beside, stride=1)
            for below, beside in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.last = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        maps: list[Tensor] = []
        for stage in self.encoder:
            maps.append(stage(maps[-1] if maps else images))
        current = maps.pop()
        for stage in self.decoder:
            beside = maps.pop()
            enlarged = functional.interpolate(current, size=beside.shape[-2:], mode="nearest")
            current = stage(torch.cat([enlarged, beside], dim=1))
        return torch.sigmoid(self.last(current))


class DenoisedClassifier(nn.Module):
    """`classifier` behind `denoiser`, both in pixel space: N×C×H×W in [0,1] to logits N×K.

    The classifier normalises its pixels itself: nothing stands in front of the denoiser.
    """

    def __init__(self, denoiser: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.denoiser(images))
        return logits


def denoising_autoencoder(
    in_channels: int, image_size: tuple[int, int], *, width: int
) -> DenoisingAutoencoder:
    """The auto-encoder for images of that size. Raises UserError for what does not fit."""
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise UserError("width", got=width, expected="a whole number ≥ 1")
    if min(image_size) < _SCALES[-1]:
        raise UserError("image_size", got=image_size,
                        expected=f"at least {_SCALES[-1]}×{_SCALES[-1]} pixels")
    return DenoisingAutoencoder(in_channels, width=width)


def autoencoder_resnet34(
    *, num_classes: int, in_channels: int, image_size: tuple[int, int], width: int = 32,
    stem: Stem = "auto", pretrained: bool | str = False,
) -> nn.Module:
    """A denoising auto-encoder in front of ResNet-34, for N×`in_channels`×H×W pixels.

    Chen et al. 2021 compare with one ("Auto Encoder", tables 6 to 8) and publish no
    configuration: all of it but the ResNet-34 is a choice. `width`: see `DenoisingAutoencoder`;
    `stem`: see `resnet34`. `pretrained` starts the ResNet-34 from ImageNet weights, as theirs all
    do: true downloads those of timm, a path names a local file.
    """
    denoiser = denoising_autoencoder(in_channels, image_size, width=width)
    classifier = resnet34(num_classes=num_classes, in_channels=in_channels,
                          image_size=image_size, stem=stem)
    start_from_imagenet(classifier, _IMAGENET_WEIGHTS, pretrained, in_channels=in_channels)
    return DenoisedClassifier(denoiser, with_normalisation(classifier, in_channels))


def _convolution(before: int, after: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.LeakyReLU(0.1),
    )
