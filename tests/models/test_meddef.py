"""MedDef and its ablations: parameter counts as printed, any image size, training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from robench.models.meddef import MedDef, meddef
from robench.models.meddef_blocks import DETECTORS
from robench.registry import Card, Registry

SHAPE: dict[str, Any] = {"num_classes": 4, "in_channels": 3, "image_size": (224, 224)}

# name, parameters with 4 and with 2 classes, millions printed in Table 1 (4) and Table 2 (2)
VARIANTS = [
    ("meddef", 21_839_556, 21_838_530, 21.84, 21.84),
    ("meddef-wo-afd", 18_686_660, 18_685_634, 18.69, 18.69),
    ("meddef-wo-afd-mfe", 16_565_444, 16_564_418, 16.57, 16.56),
    ("meddef-wo-afd-mfe-msf", 17_607_364, 17_606_338, 17.61, 17.61),
]
NAMES = [variant[0] for variant in VARIANTS]

BLOCKS = {
    "backbone": 11_176_512,
    "defense.detectors.afd": 2_628_608,
    "defense.detectors.mfe": 807_424,
    "defense.detectors.msf": 3_416_064,
    "defense.fusion": 2_101_760,
    "defense.channel_attention": 131_712,
    "self_attention": 1_050_624,
    "feature_fusion": 524_800,
    "head": 2_052,
}


def card(name: str) -> Card:
    return Registry.discover().get("model", name).card


def variant(name: str, **settings: Any) -> MedDef:
    """The network of a card, with its defaults."""
    entry = Registry.discover().get("model", name)
    facts = {key: settings.pop(key, default) for key, default in SHAPE.items()}
    network = entry.load()(**facts, **entry.card.settings(settings))
    assert isinstance(network, MedDef)
    return network


def count(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.fixture(scope="module")
def full() -> MedDef:
    """The full network for grey images; any image size passes through it."""
    torch.manual_seed(0)
    return variant("meddef", num_classes=2, in_channels=1)


@pytest.mark.parametrize(("name", "four", "two", "printed_four", "printed_two"), VARIANTS)
def test_parameters_are_those_printed(
    name: str, four: int, two: int, printed_four: float, printed_two: float
) -> None:
    with torch.device("meta"):
        assert count(variant(name)) == four
        assert count(variant(name, num_classes=2, image_size=(28, 28))) == two
        assert count(variant(name, attention="channel")) == four
    assert (round(four / 1e6, 2), round(two / 1e6, 2)) == (printed_four, printed_two)
    assert card(name).published == {"parameters_m": printed_four, "classes": 4}


def test_parameters_of_each_block() -> None:
    with torch.device("meta"):
        network = variant("meddef")
    assert {path: count(network.get_submodule(path)) for path in BLOCKS} == BLOCKS
    assert sum(BLOCKS.values()) == count(network), "no block outside the table"


@pytest.mark.parametrize(("without", "fused"), [
    ([], [1536, 1024, 512]),
    (["afd"], [1024, 1024, 512]),
    (["mfe"], [1024, 1024, 512]),
    (["afd", "msf"], [512, 512]),
    (["mfe", "afd"], [512, 512]),
    (["afd", "mfe", "msf"], [512, 512, 512]),
])
def test_without_leaves_out_what_it_names(without: list[str], fused: list[int]) -> None:
    with torch.device("meta"):
        defense = variant("meddef", without=without).defense
    assert list(defense.detectors) == [name for name in DETECTORS if name not in without]
    convolutions = [layer for layer in defense.fusion if isinstance(layer, nn.Conv2d)]
    assert [convolutions[0].in_channels, *(c.out_channels for c in convolutions)] == fused
    assert {c.kernel_size for c in convolutions} == {(3, 3) if len(without) == 3 else (1, 1)}


@pytest.mark.parametrize(("name", "without"), [
    ("meddef-wo-afd", ["afd"]),
    ("meddef-wo-afd-mfe", ["afd", "mfe"]),
    ("meddef-wo-afd-mfe-msf", ["afd", "mfe", "msf"]),
])
def test_an_ablation_is_meddef_without(name: str, without: list[str]) -> None:
    with torch.device("meta"):
        named, chosen = variant(name), variant("meddef", without=without)
    shapes = [{key: tensor.shape for key, tensor in network.state_dict().items()}
              for network in (named, chosen)]
    assert shapes[0] == shapes[1]
    assert "without" not in card(name).params, "its name says what is left out"


def test_the_stem_is_a_setting() -> None:
    def stride(size: int, **settings: Any) -> tuple[int, ...]:
        backbone = variant("meddef", image_size=(size, size), **settings).backbone
        convolution = backbone.get_submodule("conv1")
        assert isinstance(convolution, nn.Conv2d)
        return convolution.stride

    with torch.device("meta"):
        assert stride(28) == (2, 2), "as the printed counts have it"
        assert stride(28, stem="auto") == (1, 1)
        assert stride(64, stem="auto") == (2, 2)
        assert stride(64, stem="small") == (1, 1)


def test_one_and_four_channels() -> None:
    with torch.device("meta"):
        backbones = [variant("meddef", in_channels=number).backbone for number in (1, 4)]
    assert [count(backbone) - BLOCKS["backbone"] for backbone in backbones] == [-6_272, 3_136]


@pytest.mark.parametrize("size", [(28, 28), (64, 64), (96, 64)])
@pytest.mark.parametrize("attention", ["spatial", "channel"])
def test_gradients_reach_every_pixel(size: tuple[int, int], attention: str) -> None:
    network = variant("meddef", num_classes=2, in_channels=1, attention=attention)
    images = torch.rand(2, 1, *size, requires_grad=True)
    logits = network.eval()(images)
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), images)
    assert logits.shape == (2, 2)
    assert torch.isfinite(gradient).all()
    assert (gradient != 0).float().mean() > 0.9


@pytest.mark.parametrize("name", NAMES[1:])
def test_ablations_take_small_images(name: str) -> None:
    network = variant(name, image_size=(28, 28)).eval()
    images = torch.rand(1, 3, 28, 28, requires_grad=True)
    network(images)[:, 0].sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_large_images(full: MedDef) -> None:
    with torch.no_grad():
        logits = full.eval()(torch.rand(1, 1, 512, 512))
    assert logits.shape == (1, 2)
    assert torch.isfinite(logits).all()


def test_every_weight_learns_from_a_batch_of_two(full: MedDef) -> None:
    torch.manual_seed(1)
    full.train().zero_grad()
    F.cross_entropy(full(torch.rand(2, 1, 64, 64)), torch.tensor([0, 1])).backward()
    idle = [name for name, weight in full.named_parameters()
            if weight.grad is None or not torch.isfinite(weight.grad).all()
            or not weight.grad.abs().sum() > 0]
    full.zero_grad()
    assert idle == []


def test_maps_of_one_pixel_train(full: MedDef) -> None:
    logits = full.train()(torch.rand(2, 1, 28, 28))
    assert torch.isfinite(logits).all()


def test_the_way_through_the_network(full: MedDef) -> None:
    """Eq. 6, and what the feature fusion joins."""
    full.eval()
    images = torch.rand(2, 1, 64, 96)
    with torch.no_grad():
        features = full.backbone(images)
        assert features.shape == (2, 512, 2, 3)
        defended = full.defense(features)
        attended = full.self_attention(defended)
        first, last = full.feature_fusion[0], full.head
        assert isinstance(first, nn.Linear)
        joined = torch.cat([defended.flatten(2).mean(2), attended.mean(1)], dim=1)
        hidden = (joined @ first.weight.T + first.bias).clamp(min=0)
        assert torch.allclose(full(images), hidden @ last.weight.T + last.bias, atol=1e-5)


def test_dropout_is_in_the_feature_fusion_alone() -> None:
    with torch.device("meta"):
        rates = {path: layer.p
                 for settings in ({}, {"dropout": 0.2})
                 for path, layer in variant("meddef", **settings).named_modules()
                 if isinstance(layer, nn.Dropout)}
        assert rates == {"feature_fusion.2": 0.2}
        third = variant("meddef").feature_fusion[2]
    assert isinstance(third, nn.Dropout)
    assert third.p == 0.3


def test_imagenet_weights_go_into_the_backbone(tmp_path: Path) -> None:
    imagenet = torchvision.models.resnet18(weights=None)
    path = tmp_path / "resnet18.pt"
    torch.save(imagenet.state_dict(), path)
    network = meddef(**SHAPE, without=["afd", "mfe"], pretrained=str(path))
    own = network.get_submodule("backbone").state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in imagenet.state_dict().items()
               if not name.startswith("fc."))
    assert network.mean == (0.485, 0.456, 0.406)
    images = torch.rand(2, 3, 64, 64)
    maps = nn.Sequential(*list(imagenet.eval().children())[:-2])
    with torch.no_grad():
        assert torch.equal(network.eval().get_submodule("backbone")(images), maps(images))


def test_pixels_come_as_they_are_from_scratch(full: MedDef) -> None:
    assert [full.mean, full.std] == [(0.0,), (1.0,)]
