"""Model factories that cannot be called as the contract says."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

import robench
from robench.testing import Check, check_model


def _nothing(*, num_classes: int, in_channels: int, image_size: tuple[int, int]) -> Any:
    return None


def _unbuildable(*, num_classes: int, in_channels: int, image_size: tuple[int, int]) -> Any:
    raise ValueError("width must be positive")


def _without_size(*, num_classes: int, in_channels: int) -> nn.Module:
    return nn.Identity()


def _declining(*, num_classes: int, in_channels: int, image_size: tuple[int, int]) -> Any:
    raise robench.UserError("never", got=image_size)


@pytest.mark.parametrize(
    ("factory", "told"),
    [
        (_nothing, "got NoneType, expected a torch.nn.Module"),
        (_unbuildable, "for 10 classes, 3×32×32: raised ValueError: width must be positive"),
        (_without_size, "unexpected keyword argument 'image_size'"),
        (_declining, "expected a network for at least one shape"),
    ],
)
def test_what_cannot_be_built_fails_there_and_stops(factory: Any, told: str) -> None:
    *_, last = checks = check_model(factory)
    assert [check.name for check in checks] == ["settings", "builds"]
    assert last.passed is False
    assert told in last.message


def _settings(factory: Any, **params: Any) -> Check:
    return check_model(factory, **params)[0]


def test_a_setting_needs_a_default_that_a_matrix_can_hold() -> None:
    def bare(*, num_classes: int, in_channels: int, image_size: Any, width: int) -> Any:
        return None

    def odd(*, num_classes: int, in_channels: int, image_size: Any, layer: Any = nn.ReLU) -> Any:
        return None

    assert "setting 'width' without a default" in _settings(bare).message
    assert _settings(bare, width=3).passed
    assert "setting 'layer' with default" in _settings(odd).message
    assert not _settings(odd).passed
