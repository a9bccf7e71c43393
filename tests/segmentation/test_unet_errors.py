"""Parameters that U-Net refuses when it is built."""

from __future__ import annotations

from typing import Any

import pytest

from robench.errors import UserError
from robench.segmentation.unet import unet

GOOD: dict[str, Any] = {"num_classes": 1, "in_channels": 3, "image_size": (32, 32), "width": 4}


@pytest.mark.parametrize(
    ("wrong", "parts"),
    [
        ({"width": 0}, ["width", "got 0", "≥ 1"]),
        ({"width": 2.5}, ["width", "got 2.5"]),
        ({"width": True}, ["width", "got True"]),
        ({"num_classes": 0}, ["num_classes", "got 0"]),
        ({"in_channels": 0}, ["in_channels", "got 0"]),
        ({"image_size": (32, 15)}, ["image_size", "got (32, 15)", "at least 16×16"]),
    ],
)
def test_refused(wrong: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(UserError) as error:
        unet(**{**GOOD, **wrong})
    assert all(part in str(error.value) for part in parts), str(error.value)
