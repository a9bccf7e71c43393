"""Predicted masks, their scores, and that an image counts the same in any set."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import robench
from robench.segmentation import evaluate, predict

from .stand_ins import Threshold, squares

SPLIT = squares(21, seed=3)


@pytest.mark.parametrize("maps", [1, 2])
def test_a_network_that_is_right(maps: int) -> None:
    scores = evaluate(Threshold(maps), SPLIT)
    assert scores.n == 21
    assert scores.dice == scores.iou == scores.class_mean_iou == 1.0
    assert scores.images["image_id"].tolist() == SPLIT.image_ids.tolist()


def test_a_network_that_finds_nothing() -> None:
    network = Threshold()
    with torch.no_grad():
        network.level.fill_(2.0)
    scores = evaluate(network, SPLIT)
    assert scores.dice == scores.iou == 0.0
    background = 1 - SPLIT.masks.mean()
    assert scores.class_mean_iou == pytest.approx(background / 2)


def test_of_several_maps_the_largest_counts() -> None:
    logits = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))

    class Fixed(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.cat([logits, logits.new_zeros(len(images) - 3, 4, 8, 8)])

    masks = predict(Fixed(), torch.rand(3, 1, 8, 8), num_classes=4)
    assert masks.dtype == torch.uint8
    assert torch.equal(masks, logits.argmax(dim=1).to(torch.uint8))


def test_an_image_counts_the_same_in_any_set_and_the_network_is_left_alone() -> None:
    network = robench.model("unet", num_classes=1, in_channels=1, image_size=16, width=2)
    network.train()(torch.rand(4, 1, 16, 16))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    whole = evaluate(network, SPLIT).images
    part = evaluate(network, SPLIT.select([20, 3])).images
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    rows = whole.iloc[[20, 3]].reset_index(drop=True)
    assert rows.equals(part)
    assert 0 < whole["predicted_1"].sum() < SPLIT.masks.size, "not all of one class"


def test_pixels_of_an_attack_are_scored_the_same_way() -> None:
    """`predict` takes float pixels, so what an attack gives goes the way of clean images."""
    pixels = torch.from_numpy(SPLIT.images).permute(0, 3, 1, 2) / 255
    masks = predict(Threshold(), pixels).numpy()
    assert (masks == SPLIT.masks).all()
    darker = predict(Threshold(), pixels - 0.4).numpy()
    assert darker.sum() < 0.5 * masks.sum()
    assert np.isin(darker, (0, 1)).all()
