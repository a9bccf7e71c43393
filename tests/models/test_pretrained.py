"""ImageNet weights from files, and from a catalogue that cannot be reached."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import resnet18

import robench
from robench.models.pretrained import start_from_imagenet


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return resnet18().state_dict()


def test_false_changes_nothing(weights: dict[str, Tensor]) -> None:
    network = resnet18(num_classes=4)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    start_from_imagenet(network, "resnet18.tv_in1k", False, in_channels=3)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_a_local_file_fills_all_but_the_head(
    weights: dict[str, Tensor], tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"w.{ending}"
    if ending == "pt":
        torch.save({"state_dict": {f"module.{n}": t for n, t in weights.items()}}, path)
    else:
        save_file(weights, path)
    network = resnet18(num_classes=4)
    head = network.fc.weight.detach().clone()
    start_from_imagenet(network, "resnet18.tv_in1k", str(path), in_channels=3)
    for name, tensor in network.state_dict().items():
        if name.startswith("fc."):
            continue
        assert torch.equal(tensor, weights[name]), name
    assert torch.equal(network.fc.weight, head)


def test_a_head_of_the_same_shape_is_taken_too(weights: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(weights, tmp_path / "w.pt")
    network = resnet18()
    start_from_imagenet(network, "resnet18.tv_in1k", str(tmp_path / "w.pt"), in_channels=3)
    assert torch.equal(network.fc.weight, weights["fc.weight"])


def test_one_channel_sums_the_colours(weights: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(weights, tmp_path / "w.pt")
    network = resnet18()
    network.conv1 = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    start_from_imagenet(network, "resnet18.tv_in1k", str(tmp_path / "w.pt"), in_channels=1)
    grey = torch.rand(1, 1, 20, 20)
    colours = torch.nn.functional.conv2d(
        grey.expand(1, 3, 20, 20), weights["conv1.weight"], stride=2, padding=3
    )
    torch.testing.assert_close(network.conv1(grey), colours)


def test_added_tensors_keep_their_first_values(weights: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(weights, tmp_path / "w.pt")
    network = resnet18()
    network.layer1[0].attention = torch.nn.Linear(3, 3)
    before = network.layer1[0].attention.weight.detach().clone()
    start_from_imagenet(
        network, "resnet18.tv_in1k", str(tmp_path / "w.pt"), in_channels=3, added=[".attention."]
    )
    assert torch.equal(network.layer1[0].attention.weight, before)
    assert torch.equal(network.layer1[0].conv1.weight, weights["layer1.0.conv1.weight"])


@pytest.mark.parametrize("name", ["timm/resnet18", "torchvision/resnet18"])
def test_providers_take_a_file_and_make_the_head_anew(
    weights: dict[str, Tensor], tmp_path: Path, name: str
) -> None:
    torch.save(weights, tmp_path / "w.pt")
    network = robench.model(
        name, num_classes=5, image_size=32, pretrained=str(tmp_path / "w.pt")
    )
    found = network.state_dict()
    assert torch.equal(found["1.layer3.1.conv2.weight"], weights["layer3.1.conv2.weight"])
    assert found["1.fc.weight"].shape == (5, 512)
