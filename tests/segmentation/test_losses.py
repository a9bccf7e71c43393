"""Losses against their definitions, and that they tell images apart."""

from __future__ import annotations

import kornia
import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from robench.segmentation import bce, bce_dice, soft_dice
from robench.segmentation.losses import MaskLoss

RANDOM = torch.Generator().manual_seed(0)
LOGITS = torch.randn(3, 1, 6, 5, generator=RANDOM)
MASKS = torch.randint(0, 2, (3, 6, 5), generator=RANDOM, dtype=torch.uint8)


def test_bce_is_the_log_loss_of_the_pixels() -> None:
    probabilities = LOGITS.sigmoid().double().reshape(3, -1).numpy()
    expected = [log_loss(mask.reshape(-1), row)
                for mask, row in zip(MASKS.numpy(), probabilities, strict=True)]
    assert bce(LOGITS, MASKS).tolist() == pytest.approx(expected, rel=1e-5)


def test_soft_dice_by_hand() -> None:
    logits = torch.tensor([[[[0.0, 0.0], [0.0, 0.0]]], [[[50.0, -50.0], [-50.0, -50.0]]]])
    masks = torch.tensor([[[1, 0], [0, 0]], [[1, 0], [0, 0]]])
    # p = 1/2 everywhere: overlap 1/2, sums 2 and 1; and a perfect prediction
    assert soft_dice(logits, masks).tolist() == pytest.approx([1 - 2 / 4, 0.0])


def test_soft_dice_without_smoothing_is_kornias() -> None:
    """On a large map, where one pixel of smoothing is nothing; softmax of (0, z) is sigmoid(z)."""
    logits = torch.randn(1, 1, 200, 200, generator=RANDOM)
    masks = torch.randint(0, 2, (1, 200, 200), generator=RANDOM)
    two = torch.cat([torch.zeros_like(logits), logits], dim=1)
    foreground = kornia.losses.dice_loss(two, masks, average="macro",
                                         weight=torch.tensor([0.0, 1.0]))
    assert float(soft_dice(logits, masks)) == pytest.approx(float(foreground), abs=1e-4)


def test_an_empty_mask_has_a_value_and_a_gradient() -> None:
    logits = torch.full((1, 1, 4, 4), -50.0)
    assert float(soft_dice(logits, torch.zeros(1, 4, 4, dtype=torch.uint8))) == pytest.approx(0)
    logits = torch.zeros(1, 1, 4, 4, requires_grad=True)
    soft_dice(logits, torch.zeros(1, 4, 4, dtype=torch.uint8)).sum().backward()
    assert logits.grad is not None
    assert bool((logits.grad > 0).all()), "descent makes the map emptier"


def test_two_maps_are_two_questions() -> None:
    both = torch.cat([-LOGITS, LOGITS], dim=1)
    assert torch.allclose(bce(both, MASKS), bce(LOGITS, MASKS))
    halves = (soft_dice(-LOGITS, 1 - MASKS) + soft_dice(LOGITS, MASKS)) / 2
    assert torch.allclose(soft_dice(both, MASKS), halves)


@pytest.mark.parametrize("loss", [bce, soft_dice, bce_dice])
def test_an_image_has_the_same_loss_in_any_batch(loss: MaskLoss) -> None:
    together = loss(LOGITS, MASKS)
    assert together.shape == (3,)
    alone = torch.cat([loss(LOGITS[i:i + 1], MASKS[i:i + 1]) for i in range(3)])
    assert torch.allclose(together, alone)
    assert len(np.unique(together.numpy())) == 3


def test_bce_dice_is_the_sum() -> None:
    assert torch.equal(bce_dice(LOGITS, MASKS), bce(LOGITS, MASKS) + soft_dice(LOGITS, MASKS))
