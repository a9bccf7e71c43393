"""Losses of masks, one value per image: what training averages and an attack ascends.

Logits are N×K×H×W, masks whole numbers N×H×W. K = 1 is the logit of class 1 of a binary mask;
with K ≥ 2 each map is a yes-or-no question of its own (one against the rest).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

MaskLoss = Callable[[Tensor, Tensor], Tensor]
"""Logits N×K×H×W and masks N×H×W → one value per image, length N."""

_SMOOTHING = 1.0
"""Pixels added to both parts of the Dice fraction: an empty map has a value and a gradient."""


def bce(logits: Tensor, masks: Tensor) -> Tensor:
    """Binary cross-entropy with logits, the mean over maps and pixels. Length N."""
    losses = functional.binary_cross_entropy_with_logits(
        logits, targets(logits, masks), reduction="none"
    )
    return losses.mean(dim=(1, 2, 3))


def soft_dice(logits: Tensor, masks: Tensor) -> Tensor:
    """1 − (2 Σpt + 1) / (Σp + Σt + 1) with p = sigmoid(logits), the mean over maps. Length N.

    Sums are over the pixels of one image (Milletari et al. 2016, arXiv 1606.04797, without the
    squares in the denominator).
    """
    probabilities, truth = torch.sigmoid(logits), targets(logits, masks)
    overlap = (probabilities * truth).sum(dim=(2, 3))
    total = probabilities.sum(dim=(2, 3)) + truth.sum(dim=(2, 3))
    return (1 - (2 * overlap + _SMOOTHING) / (total + _SMOOTHING)).mean(dim=1)


def bce_dice(logits: Tensor, masks: Tensor) -> Tensor:
    """`bce` + `soft_dice`, equally weighted (Muoka et al. 2023, table 3). Length N."""
    return bce(logits, masks) + soft_dice(logits, masks)


def targets(logits: Tensor, masks: Tensor) -> Tensor:
    """The truth of each map, 0 or 1, in the shape and dtype of `logits`."""
    maps = logits.shape[1]
    if maps == 1:
        return masks.unsqueeze(1).to(logits.dtype)
    classes = torch.arange(maps, device=masks.device).reshape(1, -1, 1, 1)
    return (masks.unsqueeze(1) == classes).to(logits.dtype)
