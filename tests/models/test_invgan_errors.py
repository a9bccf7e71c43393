"""Settings and sizes `invgan-resnet34` refuses, by name and when it is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from robench.errors import UserError
from robench.models.invgan import invgan_resnet34

SHAPE: dict[str, Any] = {"num_classes": 2, "in_channels": 1, "latent": 4, "width": 2}


@pytest.mark.parametrize(("name", "value", "allowed"), [
    ("latent", 0, "≥ 1"), ("latent", 2.0, "≥ 1"), ("latent", True, "≥ 1"), ("latent", None, "≥ 1"),
    ("width", 0, "≥ 1"), ("width", -4, "≥ 1"), ("width", "64", "≥ 1"),
    ("resolution", 7, "≥ 8"), ("resolution", 64.0, "≥ 8"),
    ("stem", "large", "auto, imagenet or small"), ("pretrained", 1, "true, false or a file"),
])  # fmt: skip
def test_unfit_settings_are_named(name: str, value: object, allowed: str) -> None:
    with pytest.raises(UserError, match=name) as caught:
        invgan_resnet34(image_size=(32, 32), **{**SHAPE, name: value})
    assert f"got {value!r}" in str(caught.value)
    assert allowed in str(caught.value)


@pytest.mark.parametrize(("size", "resolution"), [
    ((7, 7), 64), ((7, 64), 64), ((64, 4), 64), ((256, 28), 64), ((28, 100), 28),
])  # fmt: skip
def test_too_small_an_image(size: tuple[int, int], resolution: int) -> None:
    with pytest.raises(UserError, match="image_size") as caught:
        invgan_resnet34(image_size=size, resolution=resolution, **SHAPE)
    assert "at least 8 pixels on the shorter side" in str(caught.value)
    assert f"resolution = {resolution}" in str(caught.value)


def test_a_higher_resolution_takes_a_long_image() -> None:
    with torch.device("meta"):
        invgan_resnet34(image_size=(256, 28), resolution=128, **SHAPE)


def test_a_pretrained_file_of_another_network(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, path)
    with pytest.raises(UserError, match="pretrained"):
        invgan_resnet34(image_size=(32, 32), pretrained=str(path), **SHAPE)
