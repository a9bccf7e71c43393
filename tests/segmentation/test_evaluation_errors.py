"""Networks whose output is no mask, and masks that cannot be scored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from robench.errors import UserError, VictimError
from robench.segmentation import predict, score

PIXELS = torch.rand(3, 1, 8, 8)
IDS = np.array(["a", "b"])
MASKS = np.zeros((2, 4, 4), np.uint8)


class Gives(nn.Module):
    def __init__(self, *shape: int, value: float = 0.0) -> None:
        super().__init__()
        self.shape, self.value = shape, value

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.full((len(images), *self.shape), self.value)


@pytest.mark.parametrize(
    ("network", "num_classes", "parts"),
    [
        (Gives(2), 2, ["[3, 2]", "3 × 1 or 2 × 8 × 8"]),
        (Gives(1, 4, 4), 2, ["[3, 1, 4, 4]"]),
        (Gives(3, 8, 8), 2, ["[3, 3, 8, 8]", "1 or 2"]),
        (Gives(1, 8, 8), 3, ["[3, 1, 8, 8]", "3 × 3 × 8 × 8"]),
        (Gives(1, 8, 8, value=float("nan")), 2, ["NaN"]),
    ],
)
def test_wrong_outputs(network: nn.Module, num_classes: int, parts: list[str]) -> None:
    with pytest.raises(VictimError) as error:
        predict(network, PIXELS, num_classes=num_classes)
    assert all(part in str(error.value) for part in parts), str(error.value)


def test_no_images() -> None:
    with pytest.raises(UserError, match="no images"):
        predict(Gives(1, 8, 8), PIXELS[:0])
    with pytest.raises(UserError, match="no masks"):
        score(MASKS[:0], MASKS[:0], IDS[:0])


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        ({"predicted": MASKS[:1]}, "do not fit"),
        ({"image_ids": IDS[:1]}, "do not fit"),
        ({"predicted": MASKS + 2}, "predicted mask"),
        ({"truth": MASKS + 2}, "true mask"),
        ({"predicted": MASKS.astype(float)}, "float64"),
        ({"predicted": MASKS.astype(int) - 1}, "-1 to -1"),
    ],
)
def test_masks_that_cannot_be_scored(wrong: dict[str, Any], part: str) -> None:
    with pytest.raises(UserError, match=part):
        score(**{"predicted": MASKS, "truth": MASKS, "image_ids": IDS, **wrong})
