"""Sizes and costs of networks, against counts made by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from robench.models.summary import Layer, Summary, summarise


class TwoPaths(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.late = nn.Linear(4 * 8 * 6, 3)
        self.early = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.unused = nn.Linear(7, 7)
        self.early[0].weight.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        return self.late(self.early(images).flatten(1))


class LooksAtValues(TwoPaths):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images if float(images.sum()) < 1e9 else -images)


EXPECTED = Summary(
    parameters=4 * 2 * 9 + 4 + 8 + 192 * 3 + 3 + 56,
    trainable=4 + 8 + 192 * 3 + 3 + 56,
    flops=2 * (8 * 6 * 4 * 2 * 9) + 2 * 192 * 3,
    layers=(
        Layer("early", 1, "Sequential", (4, 8, 6), 4 * 2 * 9 + 4 + 8, 2 * 8 * 6 * 4 * 2 * 9),
        Layer("early.0", 2, "Conv2d", (4, 8, 6), 4 * 2 * 9 + 4, 2 * 8 * 6 * 4 * 2 * 9),
        Layer("early.1", 2, "BatchNorm2d", (4, 8, 6), 8, 0),
        Layer("late", 1, "Linear", (3,), 192 * 3 + 3, 2 * 192 * 3),
    ),
)


@pytest.mark.parametrize("kind", [TwoPaths, LooksAtValues])
def test_counts_are_those_made_by_hand(kind: type[TwoPaths]) -> None:
    found = summarise(kind(), in_channels=2, image_size=(8, 6), depth=2)
    assert found == EXPECTED


def test_only_as_deep_as_asked() -> None:
    found = summarise(TwoPaths(), in_channels=2, image_size=(8, 6), depth=1)
    assert [layer.name for layer in found.layers] == ["early", "late"]


class Listed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleList([nn.Conv2d(1, 1, 3), nn.Sequential(nn.Flatten())])

    def forward(self, images: Tensor) -> Tensor:
        return self.steps[1](self.steps[0](images))


def test_the_parts_of_a_list_stand_where_the_list_would() -> None:
    found = summarise(Listed(), in_channels=1, image_size=(5, 5), depth=1)
    assert [(layer.name, layer.depth) for layer in found.layers] == [("steps.0", 1), ("steps.1", 1)]


def test_the_network_stays_as_it_was() -> None:
    network = TwoPaths().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    summarise(network, in_channels=2, image_size=(8, 6))
    assert network.training
    assert network.early[1].training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert [weight.requires_grad for weight in network.early.parameters()] == [
        False, True, True, True,
    ]
    assert not any(module._forward_hooks for module in network.modules())


def test_resnet18_costs_what_is_known_of_it() -> None:
    from torchvision.models import resnet18

    found = summarise(resnet18(), in_channels=3, image_size=(224, 224))
    assert found.parameters == 11_689_512
    assert found.flops / 2e9 == pytest.approx(1.814, abs=0.001)  # torchvision: 1.814 GMAC
