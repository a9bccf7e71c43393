"""Small masks that tests draw, and networks that need no training."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from robench.segmentation import MaskDataset, MaskSplit


def squares(count: int, *, seed: int, size: int = 16) -> MaskSplit:
    """Noisy grey images with one bright square each, and where it is."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 100, (count, size, size, 1))
    masks = np.zeros((count, size, size), np.uint8)
    for mask, (top, left), side in zip(
        masks, random.integers(0, size // 2, (count, 2)), random.integers(4, size // 2, count),
        strict=True,
    ):
        mask[top:top + side, left:left + side] = 1
    ids = np.array([f"{seed}/{index}" for index in range(count)])
    return MaskSplit((images + 120 * masks[..., None]).astype(np.uint8), masks, ids)


def squares_data() -> MaskDataset:
    return MaskDataset(name="squares", train=squares(17, seed=0), validation=squares(8, seed=1),
                       test=squares(8, seed=2))


class Threshold(nn.Module):
    """One map of logits: brightness above a trainable threshold."""

    def __init__(self, maps: int = 1) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(0.42))
        self.maps = maps

    def forward(self, images: Tensor) -> Tensor:
        logit = (images[:, :1] - self.level) * 40
        return logit if self.maps == 1 else torch.cat([-logit, logit], dim=1)
