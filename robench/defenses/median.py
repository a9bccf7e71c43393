"""Median smoothing of the pixels."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from robench.defenses.checks import check_odd


def median(network: nn.Module, *, size: int = 3) -> nn.Module:
    """`network` behind a median filter of `size`×`size` pixels.

    Xu, Evans, Qi 2018 (arXiv 1704.01155), section II-C. Raises UserError unless `size` is odd.
    """
    return nn.Sequential(Median(size), network)


class Median(nn.Module):
    """Pixels N×C×H×W to the medians of the windows around them, each channel by itself.

    By kornia. Beyond the border, its pixels are repeated. The gradient goes to the pixel that is
    the median.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = check_odd("size", size)

    def extra_repr(self) -> str:
        return f"size={self.size}"

    def forward(self, images: Tensor) -> Tensor:
        from kornia.filters import median_blur

        reach = self.size // 2
        # kornia's own padding is refused where the border is wider than the image
        padded = functional.pad(images, (reach, reach, reach, reach), "replicate")
        filtered: Tensor = median_blur(padded, (self.size, self.size), "constant")
        height, width = images.shape[-2:]
        return filtered[:, :, reach:reach + height, reach:reach + width]
