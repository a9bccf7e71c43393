"""The plain multi-layer perceptron."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import robench
from robench.errors import UserError
from robench.models.mlp import mlp
from robench.registry import Registry

SHAPE: dict[str, Any] = {"num_classes": 3, "in_channels": 2, "image_size": (4, 6)}


def test_layers_and_parameters() -> None:
    network = mlp(**SHAPE, width=5, depth=2, dropout=0.5)
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [
        (48, 5), (5, 5), (5, 3)]
    assert sum(isinstance(layer, nn.ReLU) for layer in network) == 2
    assert Registry.discover().get("model", "mlp").card.params == mlp.__kwdefaults__


def test_pixels_to_logits() -> None:
    network = robench.model("mlp", num_classes=4, image_size=28, in_channels=1, width=32).eval()
    images = torch.rand(2, 1, 28, 28, requires_grad=True)
    logits = network(images)
    logits.sum().backward()
    assert logits.shape == (2, 4)
    assert images.grad is not None
    assert bool(images.grad.abs().sum() > 0)
    torch.testing.assert_close(network(images[:1]), logits[:1])


@pytest.mark.parametrize(("settings", "told"), [
    ({"width": 0}, "width, got 0"),
    ({"depth": 1.5}, r"depth, got 1\.5"),
    ({"depth": True}, "depth, got True"),
    ({"dropout": 1}, "dropout, got 1"),
    ({"dropout": "none"}, "dropout, got 'none'"),
])
def test_unfit_settings(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        mlp(**SHAPE, **settings)
