"""What training on masks refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robench.errors import UserError, VictimError
from robench.segmentation import MaskDataset, train

from .stand_ins import Threshold, squares, squares_data


@pytest.mark.parametrize(
    ("wrong", "parts"),
    [
        ({"epochs": 0}, ["epochs", "got 0"]),
        ({"batch_size": 1}, ["batch_size", "at least 2"]),
        ({"learning_rate": 0.0}, ["learning_rate", "above 0"]),
        ({"final_learning_rate": 0.1}, ["final_learning_rate", "got 0.1", "not above 0.01"]),
    ],
)
def test_parameters(wrong: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(UserError) as error:
        train(Threshold(), squares_data(), **{"epochs": 1, **wrong})
    assert all(part in str(error.value) for part in parts), str(error.value)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images(count: int) -> None:
    split = squares(1, seed=0) if count else None
    with pytest.raises(UserError, match=f"too few images.*got {count}"):
        train(Threshold(), MaskDataset(name="few", train=split), epochs=1)


def test_a_network_of_another_kind() -> None:
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(256, 2))
    with pytest.raises(VictimError, match="not a map of logits"):
        train(classifier, squares_data(), epochs=1)


def test_a_network_without_weights() -> None:
    with pytest.raises(VictimError, match="no weights"):
        train(Threshold().requires_grad_(False), squares_data(), epochs=1)


def test_a_loss_that_is_not_finite() -> None:
    def loss(logits: Tensor, _: Tensor) -> Tensor:
        return logits.mean(dim=(1, 2, 3)) / torch.zeros(len(logits))

    with pytest.raises(VictimError, match=r"epoch 1, learning rate 0\.01"):
        train(Threshold(), squares_data(), epochs=1, loss=loss)
