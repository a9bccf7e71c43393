"""A multi-layer perceptron on the pixels: the plain "DNN" that networks are compared with."""

from __future__ import annotations

from torch import nn

from robench.errors import UserError
from robench.normalisation import expecting


def mlp(
    *, num_classes: int, in_channels: int, image_size: tuple[int, int], width: int = 512,
    depth: int = 3, dropout: float = 0.0,
) -> nn.Module:
    """`depth` hidden layers of `width` units with ReLU and dropout, then a linear layer.

    Pixels N×`in_channels`×H×W of exactly `image_size` to logits N×`num_classes`. Raises UserError
    naming the parameter that is not usable.
    """
    for name, value in (("width", width), ("depth", depth)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(name, got=value, expected="a whole number ≥ 1")
    if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout < 1:
        raise UserError("dropout", got=dropout, expected="a number of at least 0 and below 1")
    features = in_channels * image_size[0] * image_size[1]
    layers: list[nn.Module] = [nn.Flatten()]
    for _ in range(depth):
        layers += [nn.Linear(features, width), nn.ReLU(), nn.Dropout(dropout)]
        features = width
    network = nn.Sequential(*layers, nn.Linear(features, num_classes))
    return expecting(network, [0.5] * in_channels, [0.25] * in_channels)
