"""Pruning by magnitude, against a plain computation of what must be zero."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import robench
from robench.defenses.pruning import prunable, prune_l1, sparsity
from robench.errors import UserError


def network() -> nn.Module:
    return robench.model("small-cnn", width=6, num_classes=3, in_channels=1, image_size=16)


@settings(deadline=None, max_examples=25)
@given(rate=st.floats(0.0, 0.99))
def test_global_pruning_takes_the_smallest_of_all(rate: float) -> None:
    whole, pruned = network(), network()
    measured = prune_l1(pruned, rate=rate, scope="global")
    before = torch.cat([layer.weight.detach().flatten() for layer in prunable(whole)])
    after = torch.cat([layer.weight.detach().flatten() for layer in prunable(pruned)])
    assert measured == pytest.approx(rate, abs=1 / len(before))
    assert measured == float((after == 0).double().mean())
    kept = after != 0
    assert torch.equal(after[kept], before[kept])
    if 0 < int(kept.sum()) < len(kept):
        assert before[~kept].abs().max() <= before[kept].abs().min()


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.7, 0.8])
def test_layerwise_pruning_takes_the_same_share_of_each_layer(rate: float) -> None:
    pruned = network()
    prune_l1(pruned, rate=rate, scope="layerwise")
    for layer in prunable(pruned):
        share = float((layer.weight == 0).float().mean())
        assert share == pytest.approx(rate, abs=1 / layer.weight.numel())


def test_nothing_else_changes_and_no_mask_is_left() -> None:
    whole = network()
    pruned = copy.deepcopy(whole)
    prune_l1(pruned, rate=0.5)
    assert whole.state_dict().keys() == pruned.state_dict().keys()
    weights = {id(layer.weight) for layer in prunable(pruned)}
    before = dict(whole.named_parameters())
    for name, after in pruned.named_parameters():
        assert id(after) in weights or torch.equal(before[name], after), name


def test_rate_zero_changes_nothing() -> None:
    whole, pruned = network(), network()
    assert prune_l1(pruned, rate=0.0) == sparsity(whole) == 0.0
    for before, after in zip(whole.parameters(), pruned.parameters(), strict=True):
        assert torch.equal(before, after)


@pytest.mark.parametrize(("rate", "scope", "told"), [
    (1.0, "global", "pruning rate, got 1.0"), (-0.1, "global", "pruning rate, got -0.1"),
    (0.5, "neuron", "pruning scope, got 'neuron'"),
])
def test_unfit_settings_are_named(rate: float, scope: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        prune_l1(network(), rate=rate, scope=scope)


def test_a_network_with_nothing_to_prune() -> None:
    with pytest.raises(UserError, match="nothing to prune"):
        prune_l1(nn.Sequential(nn.ReLU()), rate=0.5)


def test_convolutions_alone() -> None:
    whole, pruned = network(), network()
    prune_l1(pruned, rate=0.5, scope="layerwise", layers="conv")
    for before, after in zip(prunable(whole), prunable(pruned), strict=True):
        share = float((after.weight == 0).float().mean())
        if isinstance(after, nn.Conv2d):
            assert share == pytest.approx(0.5, abs=1 / after.weight.numel())
        else:
            assert torch.equal(before.weight, after.weight)


def test_unknown_layers() -> None:
    with pytest.raises(UserError, match="pruning layers") as caught:
        prune_l1(network(), rate=0.5, layers="attention")
    assert "conv-linear or conv" in str(caught.value)
