"""A small convolutional network, for small images and small machines."""

from __future__ import annotations

from torch import nn

from robench.errors import UserError
from robench.normalisation import expecting


def small_cnn(
    *, num_classes: int, in_channels: int, image_size: tuple[int, int], width: int = 32
) -> nn.Module:
    """Three 3×3 convolutions of `width`, 2·`width`, 4·`width` channels with BatchNorm, ReLU and
    2×2 max-pooling (while the map allows it), then average pooling and a linear layer.

    Pixels N×`in_channels`×H×W to logits N×`num_classes`.
    """
    if width < 1:
        raise UserError("width", got=width, expected="a whole number ≥ 1")
    layers: list[nn.Module] = []
    channels, side = in_channels, min(image_size)
    for out_channels in (width, 2 * width, 4 * width):
        layers += [nn.Conv2d(channels, out_channels, 3, padding=1, bias=False),
                   nn.BatchNorm2d(out_channels), nn.ReLU()]
        if side >= 4:
            layers.append(nn.MaxPool2d(2))
            side //= 2
        channels = out_channels
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(),
                            nn.Linear(4 * channels, num_classes))
    return expecting(network, [0.5] * in_channels, [0.25] * in_channels)
