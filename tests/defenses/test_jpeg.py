"""The differentiable JPEG codec, against Pillow's."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import nn

from robench.defenses.jpeg import JPEG, jpeg
from robench.errors import UserError


def photograph(height: int, width: int, *, grey: bool) -> torch.Tensor:
    image = Image.fromarray(load_sample_image("china.jpg")).convert("L" if grey else "RGB")
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    pixels = pixels.reshape(height, width, -1)
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def by_pillow(images: torch.Tensor, quality: int) -> torch.Tensor:
    pixels = (images[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, "JPEG", quality=quality)
    decoded = np.asarray(Image.open(file)).reshape(pixels.shape)
    return torch.from_numpy(decoded.copy()).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("grey", [True, False])
@pytest.mark.parametrize("quality", [50, 75, 95])
def test_it_is_close_to_a_real_file(quality: int, grey: bool) -> None:
    images = photograph(64, 96, grey=grey)
    coded, real = JPEG(quality)(images), by_pillow(images, quality)
    error = float((coded - real).square().mean().sqrt())
    assert error < 0.5 * float((images - real).square().mean().sqrt()) + 0.01


def test_lower_quality_moves_the_image_further() -> None:
    images = photograph(64, 64, grey=True)
    moved = [float((JPEG(quality)(images) - images).abs().mean()) for quality in (95, 50, 10)]
    assert moved == sorted(moved)


@pytest.mark.parametrize("size", [(8, 8), (28, 30), (33, 17)])
def test_any_size_goes_through_with_its_gradient(size: tuple[int, int]) -> None:
    images = photograph(*size, grey=True).repeat(2, 1, 1, 1).requires_grad_(True)
    guarded = jpeg(nn.Flatten(), quality=80)
    output = guarded(images)
    output.square().sum().backward()
    assert output.shape == (2, size[0] * size[1])
    assert images.grad is not None
    assert (images.grad != 0).flatten(1).any(dim=1).all()
    assert 0.0 <= float(output.detach().min())
    assert float(output.detach().max()) <= 1.0


@pytest.mark.parametrize("quality", [0, 101, -5])
def test_a_quality_that_is_none(quality: int) -> None:
    with pytest.raises(UserError, match="quality"):
        jpeg(nn.Identity(), quality=quality)
