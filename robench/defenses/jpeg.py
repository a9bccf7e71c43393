"""JPEG compression in front of a network, differentiable."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from robench.errors import UserError

_BLOCK = 16


def jpeg(network: nn.Module, *, quality: int = 75) -> nn.Module:
    """`network` behind a JPEG codec of `quality` 1 to 100 (Shin & Song 2017, by kornia)."""
    if not 1 <= quality <= 100:
        raise UserError("quality", got=quality, expected="a whole number from 1 to 100")
    return nn.Sequential(JPEG(quality), network)


class JPEG(nn.Module):
    """Pixels N×C×H×W in [0,1], C 1 or 3, to the pixels a JPEG file of `quality` would hold."""

    def __init__(self, quality: int) -> None:
        super().__init__()
        self.quality = quality

    def forward(self, images: Tensor) -> Tensor:
        from kornia.enhance import jpeg_codec_differentiable

        rows, channels, height, width = images.shape
        # The codec works on whole blocks; edges are repeated, as encoders do, and cut off again.
        padded = functional.pad(images, (0, -width % _BLOCK, 0, -height % _BLOCK), "replicate")
        colour = padded.expand(-1, 3, -1, -1) if channels == 1 else padded
        quality = torch.full((rows,), float(self.quality), device=images.device)
        coded: Tensor = jpeg_codec_differentiable(colour, quality)
        kept = coded[:, :, :height, :width].clamp(0.0, 1.0)
        return kept.mean(dim=1, keepdim=True) if channels == 1 else kept
