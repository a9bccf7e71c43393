"""Noise on the pixels, and on the features where the network attends."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robench.defenses.backward import in_range
from robench.defenses.checks import check_number
from robench.defenses.replace import with_layers_replaced

_TINY = 1e-12


def global_attention_noise(
    network: nn.Module, *, global_noise: float = 0.02, attention_noise: float = 0.1
) -> nn.Module:
    """A copy of `network` with noise injected into pixels and features, in every pass.

    Global attention noise (GATN), Dai et al. 2023, cited by Muoka et al. 2023 and described by
    DRSN-TVL 2025: "global noise in the example layer and attention noise in the feature layers".
    `global_noise` is the standard deviation of Gaussian noise on the pixels, which are then cut
    to [0,1]; `attention_noise` is `AttentionNoise`'s, behind each convolution. Raises UserError
    for settings that are none, and for a network without nn.Conv2d.
    """
    strength = check_number("attention_noise", attention_noise, low=0.0)
    pixels = PixelNoise(check_number("global_noise", global_noise, low=0.0))
    noisy = with_layers_replaced(
        network, nn.Conv2d, lambda layer: nn.Sequential(layer, AttentionNoise(strength)),
        what="convolutional",
    )
    return nn.Sequential(pixels, noisy)


global_attention_noise.stochastic = True  # type: ignore[attr-defined]


class PixelNoise(nn.Module):
    """Pixels in [0,1] with Gaussian noise of standard deviation `sigma`, cut to [0,1].

    From torch's global generator. Where a pixel is cut, its gradient is kept.
    """

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, images: Tensor) -> Tensor:
        return in_range(images + self.sigma * torch.randn_like(images))


class AttentionNoise(nn.Module):
    """Features N×C×H×W to f + `strength` · A · s · n, n standard normal for each activation.

    A is the attention of each position: the mean of |f| over the channels (Zagoruyko &
    Komodakis, ICLR 2017), divided by its largest value in the image. s is the standard deviation
    of an image's activations, so that noise has the features' scale. From torch's global
    generator; the gradient goes through A and s too.
    """

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, features: Tensor) -> Tensor:
        attention = features.abs().mean(dim=1, keepdim=True)
        attention = attention / attention.amax(dim=(2, 3), keepdim=True).clamp_min(_TINY)
        # The root has no gradient at the zero variance of a black image.
        scale = features.var(dim=(1, 2, 3), keepdim=True, correction=0).add(_TINY).sqrt()
        noise: Tensor = self.strength * scale * attention * torch.randn_like(features)
        return features + noise
