"""Gaussian smoothing of the pixels."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

from robench.defenses.backward import in_range
from robench.defenses.checks import check_number

_REACH = 4.0
"""A kernel ends at so many standard deviations, as scipy's does."""


def gaussian_blur(network: nn.Module, *, sigma: float = 1.0) -> nn.Module:
    """`network` behind a Gaussian filter with a standard deviation of `sigma` pixels.

    Raises UserError unless `sigma` is above 0.
    """
    return nn.Sequential(GaussianBlur(sigma), network)


class GaussianBlur(nn.Module):
    """Pixels N×C×H×W smoothed by G(x, y) = exp(−(x² + y²)/2σ²)/Z, each channel by itself.

    By kornia; Z makes the kernel's sum one. Beyond the border, its pixels are repeated.
    """

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = check_number("sigma", sigma, above=0.0)
        self.reach = max(math.ceil(_REACH * self.sigma), 1)

    def extra_repr(self) -> str:
        return f"sigma={self.sigma:g}"

    def forward(self, images: Tensor) -> Tensor:
        from kornia.filters import gaussian_blur2d

        side, reach = 2 * self.reach + 1, self.reach
        # kornia's own padding is refused where the border is wider than the image
        padded = functional.pad(images, (reach, reach, reach, reach), "replicate")
        blurred: Tensor = gaussian_blur2d(
            padded, (side, side), (self.sigma, self.sigma), border_type="constant"
        )
        height, width = images.shape[-2:]
        return in_range(blurred[:, :, reach:reach + height, reach:reach + width])
