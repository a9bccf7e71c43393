"""Block switching: parallel lower parts of a classifier, one of them drawn at random.

Wang, Wang, Chen, Lin, Chin 2020 (arXiv 2002.07920); behind a denoising auto-encoder: Muoka et
al. 2023, section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
import torchvision
from torch import Tensor, nn

from robench.errors import UserError, unknown
from robench.models.autoencoder import DenoisedClassifier, denoising_autoencoder
from robench.models.resnet import resnet18, resnet34
from robench.models.small_cnn import small_cnn
from robench.normalisation import with_normalisation

Base = Literal["resnet18", "resnet34", "small-cnn"]

_BASES: dict[str, Callable[..., nn.Module]] = {
    "resnet18": resnet18, "resnet34": resnet34, "small-cnn": small_cnn,
}
_RESNET_STAGES = ("layer1", "layer2", "layer3", "layer4")


class SwitchedClassifier(nn.Module):
    """Pixels N×C×H×W in [0,1] → one of `channels` → `upper` → logits N×K, all float32.

    `sub_model` builds a classifier of pixels that states its mean and std. Each channel is the
    lower part, up to stage `split`, of one built anew, so with other first weights; the upper
    part is shared. Every pass draws one channel from torch's global generator on the CPU, in
    eval mode too; with `per_image` one for each image, but in train mode still one for the
    batch: BatchNorm needs one.
    """

    def __init__(
        self, sub_model: Callable[[], nn.Module], *, in_channels: int, channels: int,
        split: int | None = None, per_image: bool = False,
    ) -> None:
        super().__init__()
        self.sub_model = sub_model
        self.split = split
        self.per_image = per_image
        first = with_normalisation(sub_model(), in_channels)
        if not isinstance(first, nn.Sequential):
            raise UserError("the sub-models of block switching state no mean and std")
        self.normalize, built = first
        lower, self.upper = _halves(built, split)
        others = [_halves(sub_model(), split)[0] for _ in range(channels - 1)]
        self.channels = nn.ModuleList([lower, *others])

    def forward(self, images: Tensor) -> Tensor:
        pixels = self.normalize(images)
        if self.per_image and not self.training:
            features = self._each_its_own(pixels, self._drawn(len(pixels)))
        else:
            features = self.channels[int(self._drawn(1))](pixels)
        logits: Tensor = self.upper(features)
        return logits

    def through(self, channel: int, upper: nn.Module | None = None) -> nn.Sequential:
        """The classifier whose one channel is `channel`; with another upper part, if given."""
        chosen = self.upper if upper is None else upper
        return nn.Sequential(self.normalize, self.channels[channel], chosen)

    def new_upper(self) -> nn.Module:
        """An upper part with fresh weights, drawn with torch's global generator."""
        return _halves(self.sub_model(), self.split)[1]

    def _drawn(self, count: int) -> Tensor:
        return torch.randint(len(self.channels), (count,), device="cpu")

    def _each_its_own(self, pixels: Tensor, drawn: Tensor) -> Tensor:
        groups = [(drawn == number).nonzero().flatten() for number in range(len(self.channels))]
        parts = [channel(pixels[rows.to(pixels.device)])
                 for channel, rows in zip(self.channels, groups, strict=True) if len(rows)]
        return torch.cat(parts)[torch.cat(groups).argsort().to(pixels.device)]


def aebs(
    *, num_classes: int, in_channels: int, image_size: tuple[int, int], channels: int = 4,
    base: Base = "resnet18", split: int | None = None, per_image: bool = False, width: int = 32,
) -> nn.Module:
    """Auto-Encoder Block Switching: a denoising auto-encoder, then a `SwitchedClassifier`.

    Muoka et al. 2023, section 4: `channels` = 4 lower, convolutional parts of `base` networks.
    `split`: the stage after which the switch comes, counted from 1 (a ResNet has four, small-cnn
    three); None for the last, so that pooling and the linear layer are shared. `per_image`: one
    draw for each image. `width`: see `DenoisingAutoencoder`. Raises UserError for settings that
    do not fit.
    """
    if isinstance(channels, bool) or not isinstance(channels, int) or channels < 2:
        raise UserError("channels", got=channels, expected="a whole number ≥ 2")
    if base not in _BASES:
        raise unknown("base", base, _BASES)
    if not isinstance(per_image, bool):
        raise UserError("per_image", got=per_image, expected="true or false")
    denoiser = denoising_autoencoder(in_channels, image_size, width=width)
    shape: dict[str, Any] = {
        "num_classes": num_classes, "in_channels": in_channels, "image_size": image_size,
    }
    classifier = SwitchedClassifier(partial(_BASES[base], **shape), in_channels=in_channels,
                                    channels=channels, split=split, per_image=per_image)
    return DenoisedClassifier(denoiser, classifier)


def _halves(network: nn.Module, split: int | None) -> tuple[nn.Sequential, nn.Sequential]:
    """The layers of `network` up to stage `split` (None: the last), and those after it."""
    layers = dict(network.named_children())
    if isinstance(network, torchvision.models.ResNet):
        head = layers.pop("fc")
        layers |= {"flatten": nn.Flatten(), "fc": head}
        ends = [list(layers).index(name) + 1 for name in _RESNET_STAGES]
    else:
        firsts = [place for place, layer in enumerate(layers.values())
                  if isinstance(layer, (nn.Conv2d, nn.AdaptiveAvgPool2d))]
        ends = firsts[1:]
    if split is None:
        split = len(ends)
    if isinstance(split, bool) or not isinstance(split, int) or not 1 <= split <= len(ends):
        raise UserError("split", got=split, expected=f"a stage from 1 to {len(ends)}")
    named = list(layers.items())
    cut = ends[split - 1]
    return _sequence(named[:cut]), _sequence(named[cut:])


def _sequence(named: list[tuple[str, nn.Module]]) -> nn.Sequential:
    sequence = nn.Sequential()
    for name, layer in named:
        sequence.add_module(name, layer)
    return sequence
