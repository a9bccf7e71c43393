"""ImageNet weights that are not to be had, or do not fit: what, where, got, expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn
from torchvision.models import resnet18

import robench
from robench.errors import UserError
from robench.models.pretrained import start_from_imagenet


def put(path: Path, **changed: Any) -> str:
    weights = resnet18().state_dict()
    for name, value in changed.items():
        if value is None:
            del weights[name.replace("__", ".")]
        else:
            weights[name.replace("__", ".")] = value
    torch.save(weights, path / "w.pt")
    return str(path / "w.pt")


def start(network: nn.Module, pretrained: Any) -> None:
    start_from_imagenet(network, "resnet18.tv_in1k", pretrained, in_channels=3)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"layer1__0__conv1__weight": torch.zeros(64, 64, 5, 5)},
         ["pretrained: 'layer1.0.conv1.weight' has another shape", "[64, 64, 5, 5]",
          "[64, 64, 3, 3]", "w.pt"]),
        ({"layer1__0__conv1__weight": None},
         ["pretrained: the file lacks 'layer1.0.conv1.weight'", "w.pt"]),
        ({"layer1__0__conv9__weight": torch.zeros(3)},
         ["pretrained: 'layer1.0.conv9.weight' is no tensor of this network",
          "did you mean 'layer1.0.conv2.weight'"]),
    ],
)
def test_a_file_that_does_not_fit(tmp_path: Path, changed: dict[str, Any], said: list[str]) -> None:
    network = resnet18()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(UserError) as caught:
        start(network, put(tmp_path, **changed))
    for part in said:
        assert part in str(caught.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_no_such_file(tmp_path: Path) -> None:
    put(tmp_path)
    with pytest.raises(UserError) as caught:
        start(resnet18(), str(tmp_path / "w.pth"))
    assert "w.pt" in str(caught.value)


@pytest.mark.parametrize("value", [3, None, ["a"]])
def test_not_a_file_nor_true_nor_false(value: Any) -> None:
    with pytest.raises(UserError, match="pretrained") as caught:
        start(resnet18(), value)
    assert "true, false or a file's path" in str(caught.value)


def test_offline_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise OSError("cannot reach the hub\nwith a long story")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(UserError) as caught:
        start(resnet18(), True)
    told = str(caught.value)
    assert "timm/resnet18.tv_in1k cannot be downloaded: cannot reach the hub" in told
    assert "pretrained: FILE" in told
    assert "long story" not in told


@pytest.mark.parametrize("name", ["timm/resnet18", "torchvision/resnet18"])
def test_providers_name_the_tensor_that_does_not_fit(tmp_path: Path, name: str) -> None:
    path = put(tmp_path, layer1__0__conv1__weight=torch.zeros(64, 64, 5, 5))
    with pytest.raises(UserError) as caught:
        robench.model(name, num_classes=2, image_size=32, pretrained=path)
    for part in ("w.pt", "layer1.0.conv1.weight", "5, 5]", "3, 3]"):
        assert part in str(caught.value)


def test_a_matrix_names_the_file_that_is_not_there(tmp_path: Path) -> None:
    put(tmp_path)
    with pytest.raises(UserError) as caught:
        robench.run({
            "name": "m", "datasets": ["digits"], "attacks": ["fgsm"],
            "models": [{"timm/resnet18": {"pretrained": str(tmp_path / "w.pth")}}],
        }, store=tmp_path / "store")
    told = str(caught.value)
    assert "matrix models[0]" in told
    assert "cannot read the file of pretrained" in told
    assert "w.pt'" in told
    assert not (tmp_path / "store").exists()
