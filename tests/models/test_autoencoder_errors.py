"""Settings and sizes that autoencoder-resnet34 refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import robench
from robench.errors import UserError
from robench.models.autoencoder import autoencoder_resnet34

SHAPE: dict[str, Any] = {"num_classes": 2, "in_channels": 1, "image_size": (16, 16)}


@pytest.mark.parametrize(("changed", "told"), [
    ({"image_size": (7, 64)}, r"image_size, got \(7, 64\)\s+expected at least 8×8"),
    ({"width": 0}, "width, got 0\\s+expected a whole number ≥ 1"),
    ({"width": 1.5}, "width, got 1.5"),
    ({"width": True}, "width, got True"),
    ({"stem": "large"}, "stem, got 'large'"),
    ({"pretrained": 1}, "pretrained, got 1"),
    ({"pretrained": "no-such-file.safetensors"}, "no such checkpoint"),
])
def test_unfit_settings_are_named(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        autoencoder_resnet34(**{**SHAPE, **changed})


def test_pretrained_weights_of_another_shape(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"conv1.weight": torch.zeros(8, 3, 7, 7)}, path)
    with pytest.raises(UserError, match="pretrained: ") as caught:
        autoencoder_resnet34(**SHAPE, pretrained=str(path))
    assert str(path) in str(caught.value)


def test_a_setting_that_does_not_exist() -> None:
    with pytest.raises(UserError, match="did you mean 'width'"):
        robench.model("autoencoder-resnet34", **SHAPE, widht=8)
