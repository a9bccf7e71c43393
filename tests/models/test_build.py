"""Networks of the registry and of the providers: built for a size, tried out, loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import robench
from robench.models.build import build, try_out
from robench.models.resnet import resnet18, resnet34
from robench.normalisation import Normalize
from robench.registry import Registry

OWN = ["resnet18", "resnet34", "small-cnn"]
PROVIDED = ["timm/resnet10t", "timm/mobilenetv3_small_050", "timm/vit_tiny_patch16_224",
            "torchvision/squeezenet1_0", "torchvision/vit_b_16", "torchvision/mobilenet_v3_small"]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [28, 64])
@pytest.mark.parametrize("name", OWN)
def test_own_models_fit_any_image(name: str, size: int, channels: int) -> None:
    network = robench.model(name, num_classes=5, image_size=size, in_channels=channels)
    images = torch.rand(2, channels, size, size, requires_grad=True)
    network(images).sum().backward()
    assert network(images).shape == (2, 5)
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


@pytest.mark.parametrize("name", PROVIDED)
def test_providers_fit_grey_images(name: str) -> None:
    entry = Registry.discover().get("model", name)
    facts = {"num_classes": 3, "in_channels": 1, "image_size": (64, 64)}
    network = build(entry.load(), settings=entry.card.settings({}), **facts)
    try_out(network, **facts)
    assert isinstance(network[0], Normalize), "their mean and std are put in front"


def test_resnet_parameters_are_those_of_the_literature() -> None:
    shape = {"num_classes": 1000, "in_channels": 3, "image_size": (224, 224)}
    for factory, name in ((resnet18, "resnet18"), (resnet34, "resnet34")):
        count = sum(weight.numel() for weight in factory(**shape).parameters())
        card = Registry.discover().get("model", name).card
        assert round(count / 1e6, 2) == card.published["parameters_m"]


def test_stem_follows_the_image_size() -> None:
    facts = {"num_classes": 2, "in_channels": 1}
    assert resnet18(image_size=(32, 32), **facts).conv1.stride == (1, 1)
    assert resnet18(image_size=(64, 64), **facts).conv1.stride == (2, 2)
    assert resnet18(image_size=(64, 64), stem="small", **facts).conv1.stride == (1, 1)


def test_one_seed_gives_one_network_and_leaves_the_random_state() -> None:
    shape = {"num_classes": 2, "image_size": 16, "in_channels": 1}
    state = torch.get_rng_state()
    one, same, other = (robench.model("small-cnn", seed=seed, **shape) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    pairs = zip(one.parameters(), same.parameters(), strict=True)
    assert all(torch.equal(first, second) for first, second in pairs)
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


@pytest.mark.parametrize("form", ["safetensors", "state-dict", "nested", "prefixed", "stored"])
def test_checkpoints_in_every_form(form: str, tmp_path: Path) -> None:
    shape = {"num_classes": 2, "image_size": 16, "in_channels": 1}
    trained = robench.model("small-cnn", seed=7, **shape)
    assert isinstance(trained, nn.Sequential)
    bare = trained[1].state_dict()
    path = tmp_path / ("weights.safetensors" if form in ("safetensors", "stored") else "w.pt")
    if form == "safetensors":
        save_file(bare, path)
    elif form == "stored":
        save_file(trained.state_dict(), path)
    elif form == "state-dict":
        torch.save(bare, path)
    elif form == "nested":
        torch.save({"epoch": 3, "state_dict": bare}, path)
    else:
        torch.save({f"module.{name}": tensor for name, tensor in bare.items()}, path)
    loaded = robench.model("small-cnn", checkpoint=path, **shape)
    images = torch.rand(4, 1, 16, 16)
    assert torch.equal(loaded(images), trained(images))
