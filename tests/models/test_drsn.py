"""Residual shrinkage networks: alone, and behind the backbones of timm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn

import robench
from robench.models.backbone import Backbone, feature_map
from robench.models.build import build
from robench.models.drsn import DrsnTvl, drsn, drsn_tvl, drsn_without_tvl
from robench.models.shrinkage import shrinkages
from robench.normalisation import Normalize
from robench.registry import Registry

SMALL = {"backbone": "mobilenetv3_small_050", "width": 16, "units": 2}
CARDS = Path(__file__).parents[2] / "registry" / "models" / "drsn_tvl.yaml"


def count(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def card(name: str) -> dict[str, Any]:
    (found,) = [card for card in yaml.safe_load(CARDS.read_text()) if card["name"] == name]
    return dict(found)


@pytest.mark.parametrize(("name", "size", "channels", "settings"), [
    ("drsn", (28, 28), 1, {}),
    ("drsn", (64, 48), 3, {"threshold": "shared", "fc_reduction": 1, "units": 1}),
    ("drsn", (64, 64), 2, {"head": "detection", "units": 2}),
    ("drsn-tvl", (32, 32), 3, SMALL),
    ("drsn-tvl", (64, 96), 1, {**SMALL, "threshold": "shared"}),
    ("drsn-tvl", (28, 28), 1, {**SMALL, "backbone": "efficientnet_b0"}),
    ("drsn-without-tvl", (64, 64), 2, {**SMALL, "head": "detection"}),
])
def test_pixels_to_logits_and_back(
    name: str, size: tuple[int, int], channels: int, settings: dict[str, Any]
) -> None:
    network = build(Registry.discover().get("model", name).load(), num_classes=2,
                    in_channels=channels, image_size=size, settings=settings)
    assert isinstance(network[0], Normalize)
    network.eval()
    images = torch.rand(3, channels, *size, generator=torch.Generator().manual_seed(0))
    kept, leaf = images.clone(), images.clone().requires_grad_(True)
    logits = network(leaf)
    logits[:, 0].sum().backward()
    assert logits.shape == (3, 2)
    assert torch.equal(images, kept)
    assert leaf.grad is not None
    assert bool((leaf.grad.flatten(1).abs().sum(dim=1) > 0).all())
    with torch.no_grad():
        torch.testing.assert_close(network(images[1:2]), logits[1:2], rtol=1e-3, atol=1e-4)
        assert torch.equal(network(images), network(images))
        assert network.train()(images[:2]).shape == (2, 2)


def test_drsn_has_the_layout_of_table_ii() -> None:
    shape = {"num_classes": 2, "in_channels": 1}
    with torch.device("meta"):
        strided = drsn(image_size=(64, 64), **shape)
        small = drsn(image_size=(48, 48), **shape)
        features = torch.empty(1, 1, 64, 64)
        sides = [(strided.stem(features).shape[1], strided.stem(features).shape[2])]
        features = strided.stem(features)
        for unit in strided.units:
            features = unit(features)
            sides.append((features.shape[1], features.shape[2]))
        assert small.units(small.stem(torch.empty(1, 1, 48, 48))).shape == (1, 64, 12, 12)
    assert sides == [(16, 32)] + 4 * [(16, 16)] + 4 * [(32, 8)] + 4 * [(64, 4)]
    assert count(strided) == count(small) == 378_578
    assert len(shrinkages(strided)) == 12


def test_efficientnet_b7_and_the_printed_size() -> None:
    settings = card("drsn-tvl")["params"]
    with torch.device("meta"):
        network = drsn_tvl(num_classes=2, in_channels=3, image_size=(224, 224), **settings)
        network.eval()
        features = network.backbone(torch.empty(1, 3, 224, 224))
        assert network.head(network.units(features)).shape == (1, 2)
    assert features.shape == (1, 2560, 7, 7)
    assert count(network.backbone) == 63_786_960
    behind = count(network.units) + count(network.head)
    first = 9 * 2560 * 256 + 2 * 2560 + 2560 * 256
    assert behind == 10_827_010
    assert behind - first == 7 * 9 * 256**2 + 8 * 256 + 7 * 512 + 4 * (
        2 * 256 * 64 + 64 + 256 + 128) + 512 + 514
    printed = card("drsn-tvl")["published"]["parameters_m"]
    assert behind / 1e6 == pytest.approx(printed, rel=0.03)
    assert count(network) / 1e6 > 7 * printed, "the printed count leaves out the backbone"
    assert isinstance(network.head.dropout, nn.Dropout)
    assert network.head.dropout.p == 0.3


def test_without_tvl_is_the_same_network_of_which_no_map_is_smoothed() -> None:
    settings = {"num_classes": 2, "image_size": 64, "in_channels": 1, **SMALL}
    one, other = (robench.model(name, **settings) for name in ("drsn-tvl", "drsn-without-tvl"))
    left, right = one.state_dict(), other.state_dict()
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert all(module.smoothed for module in shrinkages(one))
    assert not any(module.smoothed for module in shrinkages(other))
    assert card("drsn-tvl")["params"] == card("drsn-without-tvl")["params"]


def test_cards_state_the_settings() -> None:
    for name, factory in (("drsn", drsn), ("drsn-tvl", drsn_tvl),
                          ("drsn-without-tvl", drsn_without_tvl)):
        assert card(name)["params"] == factory.__kwdefaults__


BACKBONES = [name for name in card("drsn-tvl")["traits"]["backbones_compared"] if "b7" not in name]


@pytest.mark.parametrize("name", BACKBONES)
def test_backbones_of_the_paper_give_a_map(name: str) -> None:
    with torch.device("meta"):
        backbone = feature_map(name, False, in_channels=1, image_size=(224, 224)).eval()
        shape = backbone(torch.empty(1, 1, 224, 224)).shape
    assert shape[1] == backbone.channels >= 512
    assert shape[2] == shape[3] == (5 if name == "inception_v3" else 7)


COMPARED = {word: name for word, name in card("drsn-tvl")["traits"]["compared_with"].items()
            if name != "timm/tf_efficientnet_b7.aa_in1k"}


@pytest.mark.parametrize("name", COMPARED.values(), ids=COMPARED)
def test_compared_networks_exist(name: str) -> None:
    entry = Registry.discover().get("model", name)
    with torch.device("meta"):
        network = build(entry.load(), num_classes=2, in_channels=3, image_size=(224, 224),
                        settings=entry.card.settings({}))
        assert network.eval()(torch.empty(1, 3, 224, 224)).shape == (1, 2)


def test_parts_behind_the_map_are_left_out() -> None:
    backbone = feature_map("mobilenetv3_small_050", False, in_channels=3, image_size=(64, 64))
    whole = timm.create_model("mobilenetv3_small_050")
    assert not [name for name in backbone.state_dict() if "classifier" in name or "head" in name]
    assert count(backbone) == count(whole.conv_stem) + count(whole.bn1) + count(whole.blocks)


def predictions(backbone: Backbone, images: Tensor) -> Tensor:
    with torch.no_grad():
        features: Tensor = backbone.eval()(images)
    return features


@pytest.mark.parametrize("form", ["safetensors", "state-dict"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pretrained_from_a_local_file(form: str, channels: int, tmp_path: Path) -> None:
    torch.manual_seed(5)
    whole = timm.create_model("mobilenetv3_small_050").eval()
    path = tmp_path / ("weights.safetensors" if form == "safetensors" else "weights.pth")
    if form == "safetensors":
        save_file(whole.state_dict(), path)
    else:
        torch.save({"state_dict": whole.state_dict()}, path)
    network = drsn_tvl(num_classes=3, in_channels=channels, image_size=(64, 64),
                       pretrained=str(path), **SMALL)
    assert isinstance(network, DrsnTvl)
    images = torch.rand(2, channels, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = whole.forward_features(images.expand(2, 3, 64, 64))
    torch.testing.assert_close(predictions(network.backbone, images), wanted, rtol=1e-3, atol=1e-4)
    fresh = drsn_tvl(num_classes=3, in_channels=channels, image_size=(64, 64), **SMALL)
    assert fresh.state_dict().keys() == network.state_dict().keys()
