"""The total variation of shrunk maps, and the recipe that adds it to the loss."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import robench
from robench.errors import UserError
from robench.models.shrinkage import ResidualShrinkageUnit, shrinkages
from robench.registry import Registry
from robench.training.objective import Epoch
from robench.training.standard import CleanImages, standard
from robench.training.tvl import SmoothMaps, recorded, total_variation, tvl

from .stand_ins import ArrayData, Recorder, same_bits, small_network, striped_data, stripes

ON_CPU: dict[str, Any] = {"device": "cpu", "seed": 0}
SHORT: dict[str, Any] = {"epochs": 2, "batch_size": 16, "learning_rate": 0.005}
EPOCH = Epoch(number=1, total=1, history=(), class_weights=None, generator=torch.Generator())


def shrinking(name: str = "drsn", *, size: int = 8, **settings: Any) -> nn.Module:
    """A network for the stripes, always with the same first weights, with dropout."""
    small = {"width": 4, "units": 2} if name == "drsn" else {
        "width": 8, "units": 1, "backbone": "mobilenetv3_small_050"}
    return robench.model(name, num_classes=2, in_channels=1, image_size=size, seed=3,
                         **{**small, "dropout": 0.3, **settings})


def test_total_variation_by_hand() -> None:
    """Two rows of three: down 1, 4, 9; across 1, 4 and 9, 16, squared and over six entries."""
    single = torch.tensor([[0.0, 1.0, -1.0], [1.0, -1.0, 2.0]])
    down = (1 - 0) ** 2 + (-1 - 1) ** 2 + (2 + 1) ** 2
    across = (1 - 0) ** 2 + (-1 - 1) ** 2 + (-1 - 1) ** 2 + (2 + 1) ** 2
    assert total_variation(single[None, None]).item() == pytest.approx((down + across) / 6)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 1, 1, 6), (3, 2, 5, 1)])
def test_total_variation_is_the_loop(shape: tuple[int, ...]) -> None:
    maps = np.random.default_rng(0).normal(size=shape)
    total = 0.0
    for n, c, i, j in np.ndindex(*shape):
        if i + 1 < shape[2]:
            total += (maps[n, c, i + 1, j] - maps[n, c, i, j]) ** 2
        if j + 1 < shape[3]:
            total += (maps[n, c, i, j + 1] - maps[n, c, i, j]) ** 2
    assert total_variation(torch.from_numpy(maps)).item() == pytest.approx(total / maps.size)


def test_total_variation_does_not_depend_on_size_or_sign() -> None:
    maps = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    once = total_variation(maps)
    assert torch.allclose(total_variation(maps.repeat(4, 2, 1, 1)), once)
    assert torch.allclose(total_variation(-maps + 5), once, rtol=1e-4)
    assert torch.allclose(total_variation(maps.transpose(2, 3)), once)
    assert total_variation(torch.ones(1, 1, 4, 4)).item() == 0
    assert total_variation(torch.ones(2, 2, 1, 1)).item() == 0


def test_maps_are_recorded_in_order_and_hooks_are_taken_off() -> None:
    units = nn.Sequential(ResidualShrinkageUnit(2, 2), ResidualShrinkageUnit(2, 4, stride=2))
    modules = shrinkages(units)
    image = torch.rand(2, 2, 4, 4)
    with recorded(modules) as maps:
        units(image)
    assert [tuple(each.shape) for each in maps] == [(2, 2, 4, 4), (2, 4, 2, 2)]
    units(image)
    assert len(maps) == 2
    with pytest.raises(ZeroDivisionError), recorded(modules):
        raise ZeroDivisionError
    assert not any(module._forward_hooks for module in modules)


@pytest.mark.parametrize(("layer", "counted"), [("last", slice(-1, None)), ("all", slice(None))])
def test_the_loss_is_cross_entropy_and_weighted_variation(layer: Any, counted: slice) -> None:
    network = shrinking(dropout=0.0, size=8)  # normalisation in front, as recipes get it
    split = stripes(12, seed=0)
    images = torch.from_numpy(split.images).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(split.labels)
    network.train()
    clean, _ = CleanImages().loss(network, images, labels, EPOCH)
    with recorded(shrinkages(network)) as maps:
        network(images)
    wanted = torch.stack([total_variation(each) for each in maps[counted]]).mean()
    loss, logits = SmoothMaps(weight=2.5, layer=layer).loss(network, images, labels, EPOCH)
    assert len(maps) == 6
    assert logits.shape == (12, 2)
    assert wanted > 0
    torch.testing.assert_close(loss, clean + 2.5 * wanted)
    network.zero_grad()
    (loss - clean.detach()).backward()
    stem = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    assert bool(stem.weight.grad.abs().sum() > 0)
    assert not any(module._forward_hooks for module in shrinkages(network))


def test_weight_zero_is_standard_bit_for_bit() -> None:
    plain = standard(shrinking(), striped_data(), **ON_CPU, **SHORT)
    zero = tvl(shrinking(), striped_data(), **ON_CPU, **SHORT, tv_weight=0.0)
    other = tvl(shrinking(), striped_data(), **ON_CPU, **SHORT, tv_weight=0.5)
    assert same_bits(plain, zero)
    assert not same_bits(plain, other)
    assert not zero.training


def larger_data() -> ArrayData:
    """The stripes, eight times as large."""
    splits = [stripes(count, seed=count) for count in (24, 12)]
    for split in splits:
        object.__setattr__(split, "images", split.images.repeat(8, axis=1).repeat(8, axis=2))
    return ArrayData(train=splits[0], validation=splits[1])


def test_without_tvl_trains_as_with_weight_zero() -> None:
    settings = {**ON_CPU, **SHORT, "epochs": 1}
    trained = {
        (name, weight): tvl(shrinking(name, size=64), larger_data(), **settings, tv_weight=weight)
        for name, weight in (("drsn-without-tvl", 1.0), ("drsn-tvl", 0.0), ("drsn-tvl", 1.0))
    }
    without, zero, with_tvl = trained.values()
    assert same_bits(without, zero)
    assert not same_bits(without, with_tvl)


def test_a_heavy_weight_smooths_the_maps() -> None:
    data = striped_data()
    images = torch.from_numpy(data.validation.images).permute(0, 3, 1, 2).float() / 255
    found = []
    for weight in (0.0, 30.0):
        recorder = Recorder()
        network = tvl(shrinking(), data, **ON_CPU, **{**SHORT, "epochs": 4}, tv_weight=weight,
                      monitor=recorder)
        with torch.no_grad(), recorded(shrinkages(network)) as maps:
            network(images)
        found.append(float(total_variation(maps[-1])))
        assert len(recorder.reports) == 4
    assert found[1] < 0.5 * found[0]


def test_the_card_states_the_signature_and_its_models() -> None:
    registry = Registry.discover()
    card = registry.get("recipe", "tvl").card
    parameters = inspect.signature(tvl).parameters
    assert card.params == {name: parameters[name].default for name in [*parameters][5:]}
    assert card.params["learning_rate"] == card.published["learning_rate"] == 1e-5
    for name in card.traits["fits"]:
        small = {"width": 4} if name == "drsn" else {"backbone": "mobilenetv3_small_050"}
        with torch.device("meta"):
            network = registry.get("model", name).load()(
                num_classes=2, in_channels=1, image_size=(64, 64), **small)
        assert shrinkages(network)


@pytest.mark.parametrize(("settings", "told"), [
    ({"tv_weight": -0.1}, "parameter 'tv_weight'"),
    ({"tv_weight": float("inf")}, "parameter 'tv_weight'"),
    ({"layer": "first"}, "expected one of last, all"),
    ({"epochs": 0}, "parameter 'epochs'"),
])
def test_unfit_settings(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as caught:
        tvl(shrinking(), striped_data(), **ON_CPU, **settings)
    assert told in str(caught.value)


def test_networks_without_units_are_refused() -> None:
    with pytest.raises(UserError, match="no residual shrinkage units") as caught:
        tvl(small_network(), striped_data(), **ON_CPU, tv_weight=0.0)
    assert "drsn, drsn-tvl, drsn-without-tvl" in str(caught.value)


def test_maps_of_one_position_are_refused() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 8), ResidualShrinkageUnit(4, 4), nn.Flatten(), nn.Linear(4, 2)
    )
    with pytest.raises(UserError, match="one position have no variation") as caught:
        tvl(network, striped_data(), **ON_CPU, **SHORT)
    assert "images of 8×8" in str(caught.value)
    tvl(network, striped_data(), **ON_CPU, **{**SHORT, "epochs": 1}, tv_weight=0.0)
