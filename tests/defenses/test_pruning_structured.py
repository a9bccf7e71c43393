"""Structured pruning: whole output channels, against norms computed by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import robench
from robench.defenses.pruning import prunable, prune_network, size
from robench.errors import UserError

CASES = [("structured-l1", 1), ("structured-l2", 2)]


def network() -> nn.Module:
    return robench.model("small-cnn", width=8, num_classes=3, in_channels=1, image_size=16)


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in prunable(network) if isinstance(layer, nn.Conv2d)]


def kept(layer: nn.Conv2d) -> Tensor:
    return (layer.weight.detach() != 0).flatten(1).any(dim=1)


@pytest.mark.parametrize(("method", "norm"), CASES)
@pytest.mark.parametrize("rate", [0.25, 0.5, 0.7])
def test_layerwise_takes_the_smallest_channels_of_each(method: str, norm: int, rate: float) -> None:
    whole, pruned = network(), network()
    prune_network(pruned, [rate], method=method, scope="layerwise")
    for before, after in zip(convolutions(whole), convolutions(pruned), strict=True):
        count = len(before.weight) - round(rate * len(before.weight))
        norms = before.weight.detach().flatten(1).norm(p=norm, dim=1)
        assert set(kept(after).nonzero().flatten().tolist()) == set(
            norms.argsort(descending=True)[:count].tolist())
        assert torch.equal(after.weight[kept(after)], before.weight[kept(after)])


@pytest.mark.parametrize(("method", "norm"), CASES)
def test_global_compares_layers_by_their_means(method: str, norm: int) -> None:
    whole, pruned = network(), network()
    with torch.no_grad():  # so that the smallest channels are not all in one layer
        for layer in (*convolutions(whole), *convolutions(pruned)):
            layer.weight.div_(layer.weight.abs().mean())
    prune_network(pruned, [0.4], method=method, scope="global")
    rows = []
    for number, layer in enumerate(convolutions(whole)):
        for channel, weight in enumerate(layer.weight.detach().double()):
            mean = weight.abs().pow(norm).mean().item() ** (1 / norm)
            rows.append((mean, number, channel))
    best = {max(row for row in rows if row[1] == number)[1:]
            for number in range(len(convolutions(whole)))}
    removable = sorted(row for row in rows if row[1:] not in best)
    gone = {row[1:] for row in removable[:round(0.4 * len(rows))]}
    for number, layer in enumerate(convolutions(pruned)):
        for channel, there in enumerate(kept(layer).tolist()):
            assert there == ((number, channel) not in gone)
    assert len({number for number, _ in gone}) > 1, "channels of several layers are compared"


@pytest.mark.parametrize(("method", "_norm"), CASES)
@pytest.mark.parametrize("scope", ["global", "layerwise"])
def test_shapes_biases_and_the_classifier_stay(method: str, _norm: int, scope: str) -> None:
    whole, pruned = network(), network()
    prune_network(pruned, [0.5], method=method, scope=scope)
    changed = {id(layer.weight) for layer in convolutions(pruned)}
    assert whole.state_dict().keys() == pruned.state_dict().keys()
    before = dict(whole.named_parameters())
    for name, after in pruned.named_parameters():
        assert after.shape == before[name].shape
        assert id(after) in changed or torch.equal(after, before[name]), name
    assert size(pruned).sparsity > 0.3


@pytest.mark.parametrize("scope", ["global", "layerwise"])
def test_one_channel_of_each_layer_stays(scope: str) -> None:
    pruned = network()
    prune_network(pruned, [0.99, 0.99], method="structured-l1", scope=scope)
    assert [int(kept(layer).sum()) for layer in convolutions(pruned)] == [
        1 for _ in convolutions(pruned)]


def test_steps_take_a_share_of_the_channels_left() -> None:
    pruned = nn.Conv2d(3, 20, 3)
    for rate, left in ((0.5, 10), (0.5, 5), (0.4, 3)):
        prune_network(pruned, [rate], method="structured-l2", scope="layerwise",
                      pruned_before=left < 10)
        assert int(kept(pruned).sum()) == left


@pytest.mark.parametrize("method", ["structured-l1", "structured-l2"])
def test_a_network_without_convolutions(method: str) -> None:
    with pytest.raises(UserError, match="no convolutions") as caught:
        prune_network(nn.Linear(4, 4), [0.5], method=method)
    assert "expected method l1" in str(caught.value)
