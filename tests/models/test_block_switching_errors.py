"""Settings and sizes that aebs refuses."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

import robench
from robench.errors import UserError
from robench.models.block_switching import SwitchedClassifier, aebs

SHAPE: dict[str, Any] = {"num_classes": 2, "in_channels": 1, "image_size": (16, 16)}


@pytest.mark.parametrize(("changed", "told"), [
    ({"channels": 1}, "channels, got 1\\s+expected a whole number ≥ 2"),
    ({"channels": 2.0}, "channels, got 2.0"),
    ({"channels": True}, "channels, got True"),
    ({"base": "resnet19"}, "unknown base 'resnet19'\\s+did you mean 'resnet18'"),
    ({"base": "vgg"}, "expected one of resnet18, resnet34, small-cnn"),
    ({"split": 0}, "split, got 0\\s+expected a stage from 1 to 3"),
    ({"split": 4}, "split, got 4\\s+expected a stage from 1 to 3"),
    ({"split": True}, "split, got True"),
    ({"split": "layer3"}, "split, got 'layer3'"),
    ({"base": "resnet18", "split": 5}, "split, got 5\\s+expected a stage from 1 to 4"),
    ({"per_image": 1}, "per_image, got 1\\s+expected true or false"),
    ({"width": 0}, "width, got 0"),
    ({"image_size": (64, 7)}, r"image_size, got \(64, 7\)"),
])
def test_unfit_settings_are_named(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        aebs(**{**SHAPE, "base": "small-cnn", **changed})


@pytest.mark.parametrize(("setting", "told"), [
    ({"channel": 3}, "did you mean 'channels'"),
    ({"per_image": "yes"}, "expected true or false"),
    ({"channels": "four"}, "expected a whole number"),
])
def test_the_card_refuses_what_is_misspelt(setting: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        robench.model("aebs", **SHAPE, **setting)


def test_sub_models_without_mean_and_std() -> None:
    with pytest.raises(UserError, match="state no mean and std"):
        SwitchedClassifier(lambda: nn.Linear(3, 2), in_channels=1, channels=2)
