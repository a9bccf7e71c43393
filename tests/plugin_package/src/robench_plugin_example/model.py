"""A network of two convolutions."""

from torch import nn

import robench


@robench.card(summary="two convolutions, for images of any size")
def tiny_cnn(*, num_classes, in_channels, image_size, width=8):
    network = nn.Sequential(
        nn.Conv2d(in_channels, width, 3, padding=1), nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(32 * width, num_classes),
    )
    network.mean, network.std = [0.3] * in_channels, [0.35] * in_channels
    return network
