"""Pruning at several rates, one after another: shares of what is left, and of what was printed."""

from __future__ import annotations

import copy
import csv
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import robench
from robench.defenses.pruning import prunable, prune_network, size
from robench.errors import UserError
from robench.resources import registry_folder

MEDDEF = {0.1: 0.9, 0.2: 0.72, 0.3: 0.504, 0.4: 0.302, 0.5: 0.151, 0.6: 0.060, 0.7: 0.018,
          0.8: 0.0036}
"""What the authors' source leaves of the weights after each rate."""
CHEN = {0.2: 0.80, 0.4: 0.48, 0.6: 0.192, 0.8: 0.0384}


def network(width: int = 6) -> nn.Module:
    return robench.model("small-cnn", width=width, num_classes=3, in_channels=1, image_size=16)


@pytest.fixture(scope="module")
def resnet18() -> nn.Module:
    return robench.model("resnet18", num_classes=10, in_channels=3, image_size=224)


def test_meddefs_shares_on_resnet18(resnet18: nn.Module) -> None:
    """A layer's share depends on its size alone, so that layers of one shape are pruned once."""
    whole = prunable(resnet18)
    of_shape = {layer.weight.shape: copy.deepcopy(layer) for layer in whole}
    pruned, left = nn.ModuleList(of_shape.values()), []
    total = sum(layer.weight.numel() for layer in whole)
    for rate in MEDDEF:
        prune_network(pruned, [rate], scope="layerwise", pruned_before=bool(left))
        counts = {shape: int((layer.weight != 0).sum()) for shape, layer in of_shape.items()}
        left.append(sum(counts[layer.weight.shape] for layer in whole) / total)
    # To the digits that are known; and exactly, up to half a weight in each layer and step.
    assert [round(share, 4 if share < 0.01 else 3) for share in left] == [*MEDDEF.values()]
    exact = [math.prod(1 - rate for rate in list(MEDDEF)[:steps + 1]) for steps in range(8)]
    assert left == pytest.approx(exact, abs=0.5 * len(whole) * len(MEDDEF) / total)


def test_chens_shares_and_printed_parameters_on_resnet18(resnet18: nn.Module) -> None:
    with (registry_folder() / "published" / "published.csv").open(encoding="utf-8") as file:
        printed = {float(row["pruning_rate"]): float(row["value"]) for row in csv.DictReader(file)
                   if row["paper"] == "chen2021" and row["dataset"] == "cifar10"
                   and row["metric"] == "params_m"}
    assert set(printed) == {0.0, *CHEN}
    pruned = copy.deepcopy(resnet18)
    convolutions = [layer for layer in prunable(pruned) if isinstance(layer, nn.Conv2d)]
    assert round(size(pruned).parameters_left / 1e6, 2) == printed[0.0]
    for number, (rate, share) in enumerate(CHEN.items()):
        found = prune_network(pruned, [rate], scope="layerwise", layers="conv",
                              pruned_before=number > 0)
        assert round(found.parameters_left / 1e6, 2) == printed[rate]
        left = sum(int((layer.weight != 0).sum()) for layer in convolutions)
        assert left / sum(layer.weight.numel() for layer in convolutions) == pytest.approx(
            share, abs=1e-5)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.floats(0.01, 0.9), min_size=1, max_size=3),
       st.sampled_from(["global", "layerwise"]))
def test_each_step_takes_the_smallest_of_what_is_left(rates: list[float], scope: str) -> None:
    """Against sorting by hand: what is left is a number of weights, step by step."""
    whole, pruned = network(), network()
    prune_network(pruned, rates, scope=scope)
    before = [layer.weight.detach().flatten() for layer in prunable(whole)]
    after = [layer.weight.detach().flatten() for layer in prunable(pruned)]
    if scope == "global":
        before, after = [torch.cat(before)], [torch.cat(after)]
    for old, new in zip(before, after, strict=True):
        left = len(old)
        for rate in rates:
            left -= round(rate * left)
        assert int((new != 0).sum()) == left
        assert torch.equal(new[new != 0], old[new != 0])
        # Of two as small, where the cut is, either may go.
        sizes, kept = (each.abs().sort(descending=True).values for each in (old, new))
        assert torch.equal(kept[:left], sizes[:left])


@pytest.mark.parametrize("method", ["l1", "structured-l1", "structured-l2"])
@pytest.mark.parametrize("scope", ["global", "layerwise"])
def test_at_once_or_one_by_one(method: str, scope: str) -> None:
    together, apart = network(), network()
    prune_network(together, [0.2, 0.4], method=method, scope=scope)
    prune_network(apart, [0.2], method=method, scope=scope)
    prune_network(apart, [0.4], method=method, scope=scope, pruned_before=True)
    for one, other in zip(together.parameters(), apart.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_rate_of_zero_is_no_step() -> None:
    one, other = network(), network()
    assert prune_network(one, [0.0, 0.5]) == prune_network(other, [0.5])


def test_what_is_left() -> None:
    pruned = network()
    found = prune_network(pruned, [0.5], layers="conv")
    zeros = sum(int((layer.weight == 0).sum()) for layer in prunable(pruned))
    total = sum(layer.weight.numel() for layer in prunable(pruned))
    assert found.sparsity == zeros / total
    # Biases and BatchNorm are left even where they are zero.
    assert found.parameters_left == sum(each.numel() for each in pruned.parameters()) - zeros


@pytest.mark.parametrize(("given", "told"), [
    ({"rates": [0.5, 1.0]}, "pruning rate, got 1.0"),
    ({"rates": [-0.1]}, "pruning rate, got -0.1"),
    ({"rates": [0.5], "method": "structured-l3"}, "did you mean 'structured-l"),
    ({"rates": [0.5], "scope": "globl"}, "did you mean 'global'"),
    ({"rates": [0.5], "layers": "convs"}, "did you mean 'conv'"),
])
def test_unfit_settings_change_nothing(given: dict[str, object], told: str) -> None:
    pruned = network()
    with pytest.raises(UserError) as caught:
        prune_network(pruned, **given)  # type: ignore[arg-type]
    assert told in str(caught.value)
    assert size(pruned).sparsity == 0
