"""Non-local means: each pixel becomes a mean of pixels whose surroundings look alike."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from robench.defenses.backward import in_range
from robench.defenses.checks import check_number, check_odd


def nl_means(
    network: nn.Module, *, search: int = 11, patch: int = 3, strength: float = 4 / 255
) -> nn.Module:
    """`network` behind non-local means: see `NonLocalMeans`.

    Xu, Evans, Qi 2018 (arXiv 1704.01155), section II-C, use it as a squeezer; the defaults are
    their setting for ImageNet, 11-3-4. Raises UserError for settings that are none.
    """
    return nn.Sequential(NonLocalMeans(search=search, patch=patch, strength=strength), network)


class NonLocalMeans(nn.Module):
    """Pixels N×C×H×W to Σ w·x / Σ w over the `search`×`search` pixels around each.

    w = exp(−d²/`strength`²), d² being the mean squared difference of the two `patch`×`patch`
    surroundings over all channels (Buades, Coll, Morel, CVPR 2005, with a flat window).
    `strength` is in pixel units of [0,1]. Beyond the border, pixels are mirrored where there are
    as many, else repeated. The gradient goes through the weights too.
    """

    def __init__(self, *, search: int, patch: int, strength: float) -> None:
        super().__init__()
        self.search = check_odd("search", search)
        self.patch = check_odd("patch", patch)
        self.strength = check_number("strength", strength, above=0.0)

    def extra_repr(self) -> str:
        return f"search={self.search}, patch={self.patch}, strength={self.strength:g}"

    def forward(self, images: Tensor) -> Tensor:
        reach = self.search // 2
        border = reach + self.patch // 2
        mode = "reflect" if border < min(images.shape[-2:]) else "replicate"
        padded = functional.pad(images, (border, border, border, border), mode)
        total, weights = torch.zeros_like(images), torch.zeros_like(images[:, :1])
        for row in range(self.search):
            if torch.is_grad_enabled() and images.requires_grad:
                # Kept for the backward pass, all weights would fill the memory.
                part = checkpoint(self._row, padded, row, use_reentrant=False)
            else:
                part = self._row(padded, row)
            total, weights = total + part[0], weights + part[1]
        return in_range(total / weights)

    def _row(self, padded: Tensor, row: int) -> tuple[Tensor, Tensor]:
        """The sums over one row of the search window: of w·x and of w."""
        reach, margin = self.search // 2, self.patch // 2
        height, width = (side - 2 * reach for side in padded.shape[-2:])
        centre = padded[:, :, reach:reach + height, reach:reach + width]
        sums: list[Tensor] = []
        for column in range(self.search):
            other = padded[:, :, row:row + height, column:column + width]
            apart = (other - centre).square().mean(dim=1, keepdim=True)
            weight = torch.exp(-functional.avg_pool2d(apart, self.patch, stride=1)
                               / self.strength**2)
            value = weight * other[:, :, margin:height - margin, margin:width - margin]
            sums = [value, weight] if not sums else [sums[0] + value, sums[1] + weight]
        return sums[0], sums[1]
