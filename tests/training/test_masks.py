"""Pruned weights stay zero, whatever trains the network."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import robench
from robench.defenses.pruning import Layer, prunable, prune_network
from robench.training.awp import WeightPerturbation
from robench.training.masks import hold_zeros, release_zeros
from robench.training.state import tensors_of

OPTIMIZERS = {
    "adam": lambda weights: torch.optim.Adam(weights, lr=0.1, weight_decay=0.1),
    "adamw": lambda weights: torch.optim.AdamW(weights, lr=0.1, weight_decay=0.1),
    "sgd": lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=0.1),
    "lbfgs": lambda weights: torch.optim.LBFGS(weights, lr=0.1, max_iter=3),
}


def network() -> nn.Module:
    found = robench.model("small-cnn", width=4, num_classes=3, in_channels=1, image_size=8)
    prune_network(found, [0.6])
    return found.train()


def zeros(layers: list[Layer]) -> list[torch.Tensor]:
    return [layer.weight.detach() == 0 for layer in layers]


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(12, 1, 8, 8, generator=generator), torch.arange(12) % 3


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_mask_stays_and_the_rest_learns(optimizer: str) -> None:
    held = network()
    masks, before = zeros(prunable(held)), tensors_of(held)
    hold_zeros(prunable(held))
    images, labels = batch()
    steps = OPTIMIZERS[optimizer](held.parameters())

    def closure() -> torch.Tensor:
        steps.zero_grad()
        loss = nn.functional.cross_entropy(held(images), labels)
        loss.backward()
        return loss

    losses = [float(steps.step(closure).detach()) for _ in range(4)]
    assert min(losses[1:]) < losses[0]
    release_zeros(held)
    assert tensors_of(held).keys() == before.keys()
    for layer, mask in zip(prunable(held), masks, strict=True):
        assert bool((layer.weight[mask] == 0).all())
        assert bool((layer.weight[~mask] != 0).any())
        assert isinstance(layer.weight, nn.Parameter)
    assert any(not torch.equal(before[name], value) for name, value in tensors_of(held).items())


def test_holding_changes_no_answer() -> None:
    held = network().eval()
    images, _ = batch()
    before = held(images)
    hold_zeros(prunable(held))
    assert torch.equal(held(images), before)
    assert torch.equal(copy.deepcopy(held)(images), before)
    release_zeros(held)
    assert torch.equal(held(images), before)


def test_a_copy_is_held_too() -> None:
    held = network()
    masks = zeros(prunable(held))
    hold_zeros(prunable(held))
    copied = copy.deepcopy(held)
    images, labels = batch()
    steps = torch.optim.SGD(copied.parameters(), lr=1.0)
    nn.functional.cross_entropy(copied(images), labels).backward()
    steps.step()
    release_zeros(copied)
    for layer, mask in zip(prunable(copied), masks, strict=True):
        assert bool((layer.weight[mask] == 0).all())


def test_a_weight_perturbation_does_not_touch_them() -> None:
    held = network()
    masks = zeros(prunable(held))
    hold_zeros(prunable(held))
    images, labels = batch()

    def loss(there: nn.Module) -> torch.Tensor:
        return nn.functional.cross_entropy(there(images), labels)

    moved = WeightPerturbation(gamma=0.5).moved(held, loss)
    seen: list[torch.Tensor] = []
    handles = [layer.register_forward_pre_hook(lambda module, _: seen.append(module.weight))
               for layer in prunable(held)]
    loss(moved).backward()
    for handle in handles:
        handle.remove()
    assert len(seen) == len(masks)
    for weight, mask, layer in zip(seen, masks, prunable(held), strict=True):
        assert bool((weight[mask] == 0).all())
        assert not torch.equal(weight, layer.weight)


def test_the_state_of_a_training_can_be_put_back() -> None:
    one, other = network(), network()
    for held in (one, other):
        hold_zeros(prunable(held))
    with torch.no_grad():
        for weight in one.parameters():
            weight.mul_(0.5)
    other.load_state_dict(tensors_of(one))
    images, _ = batch()
    assert torch.equal(one.eval()(images), other.eval()(images))


def test_a_layer_without_zeros_is_left_alone() -> None:
    layer = nn.Linear(3, 2)
    hold_zeros([layer])
    assert type(layer) is nn.Linear
    release_zeros(layer)
