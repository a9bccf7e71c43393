"""Settings of the ResNet family that do not fit: the setting, what was got, what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from robench.errors import UserError
from robench.models.attention_resnet import bam_resnet34, cbam_resnet34, selfattn_resnet34
from robench.models.kwta import kwta_resnet34
from robench.models.resnet import resnet18, resnet34

FAMILY = [resnet18, resnet34, cbam_resnet34, bam_resnet34, selfattn_resnet34, kwta_resnet34]


def refusal(factory: Callable[..., nn.Module], **settings: Any) -> str:
    shape = {"num_classes": 2, "in_channels": 3, "image_size": (64, 64)}
    with pytest.raises(UserError) as caught:
        factory(**{**shape, **settings})
    return str(caught.value)


@pytest.mark.parametrize("factory", FAMILY, ids=lambda factory: factory.__name__)
def test_an_unknown_stem(factory: Callable[..., nn.Module]) -> None:
    told = refusal(factory, stem="large")
    assert "stem, got 'large'" in told
    assert "auto, imagenet or small" in told


@pytest.mark.parametrize("factory", FAMILY, ids=lambda factory: factory.__name__)
def test_imagenet_weights_behind_the_small_stem(factory: Callable[..., nn.Module]) -> None:
    told = refusal(factory, stem="small", pretrained=True)
    assert "pretrained: ImageNet weights are for the ImageNet stem" in told
    assert "64×64" in told
    assert "stem: imagenet, or pretrained: false" in told


@pytest.mark.parametrize("factory", FAMILY, ids=lambda factory: factory.__name__)
def test_a_pretrained_file_of_another_network(
    factory: Callable[..., nn.Module], tmp_path: Path
) -> None:
    shape = {"num_classes": 2, "in_channels": 3, "image_size": (64, 64)}
    other = resnet34 if factory is resnet18 else resnet18
    torch.save(other(**shape).state_dict(), tmp_path / "w.pt")
    told = refusal(factory, stem="imagenet", pretrained=str(tmp_path / "w.pt"))
    assert "pretrained: " in told
    assert "w.pt" in told


@pytest.mark.parametrize("ratio", [0, -0.2, 1.2, float("nan"), "0.2", True, None])
def test_a_ratio_of_winners_that_is_none(ratio: Any) -> None:
    told = refusal(kwta_resnet34, ratio=ratio)
    assert f"ratio, got {ratio!r}" in told
    assert "a number in (0, 1]" in told
