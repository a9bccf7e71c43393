"""Networks that cannot be built, or do not do what a victim must."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import robench
from robench.errors import UserError, VictimError
from robench.models.build import build, try_out

SHAPE = {"num_classes": 2, "in_channels": 1, "image_size": (16, 16)}


class Output(nn.Module):
    """A network that gives what it is told."""

    def __init__(self, output: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.output = output

    def forward(self, images: Tensor) -> Any:
        return self.output(images)


@pytest.mark.parametrize(("output", "told"), [
    (lambda images: torch.full((len(images), 2), float("nan")), "NaN or infinite"),
    (lambda images: torch.zeros(len(images), 5), "wrong number of logits, got 5"),
    (lambda images: torch.zeros(len(images)), "not a table of logits"),
    (lambda images: (torch.zeros(len(images), 2),), "got 'tuple'"),
    (lambda images: images @ torch.zeros(3, 3), "fails on images of 1×16×16"),
])
def test_unfit_outputs_are_named(output: Callable[[Tensor], Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        try_out(Output(output), **SHAPE)


def test_one_logit_is_two_classes() -> None:
    try_out(Output(lambda images: images.mean(dim=(1, 2, 3))[:, None]), **SHAPE)


@pytest.mark.parametrize(("name", "settings", "told"), [
    ("resnet18", {"stem": "large"}, "stem"),
    ("small-cnn", {"width": 0}, "width"),
    ("timm/resnet_eighteen", {}, "unknown model of timm"),
    ("timm/resnet10t", {"no_such_setting": 1}, "timm cannot build"),
    ("torchvision/resnet19", {}, "did you mean 'resnet1"),
])
def test_unfit_settings_are_named(name: str, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        robench.model(name, num_classes=2, in_channels=1, image_size=16, **settings)


@pytest.mark.parametrize("name", ["resnet18", "meddef", "small-cnn", "timm/resnet18"])
@pytest.mark.parametrize(("change", "told"), [
    ({"in_channels": 0}, "in_channels, got 0"), ({"num_classes": 0}, "num_classes, got 0"),
    ({"image_size": (0, 16)}, "image_size, got 0"), ({"in_channels": True}, "in_channels"),
])
def test_no_image_and_no_class_at_all(name: str, change: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        robench.model(name, **{**SHAPE, **change})


@pytest.mark.parametrize("name", ["resnet18", "meddef", "small-cnn", "cbam-resnet34"])
@pytest.mark.parametrize(("built", "shown"), [(1, 3), (3, 1)])
def test_images_of_another_number_of_channels(name: str, built: int, shown: int) -> None:
    network = robench.model(name, **{**SHAPE, "in_channels": built})
    with pytest.raises(VictimError, match="in_channels") as caught:
        network(torch.rand(2, shown, 16, 16))
    assert f"[2, {shown}, 16, 16]" in str(caught.value)
    assert f"N×{built}×H×W" in str(caught.value)


def test_a_factory_that_gives_no_network() -> None:
    with pytest.raises(UserError, match=r"no torch\.nn\.Module, got 'int'"):
        build(lambda **shape: 3, settings={}, **SHAPE)  # type: ignore[arg-type, return-value]


def test_mean_of_another_number_of_channels() -> None:
    def factory(**shape: Any) -> nn.Module:
        network = nn.Flatten()
        network.mean, network.std = [0.5, 0.5], [1.0, 1.0]
        return network

    with pytest.raises(UserError, match="mean and std do not fit"):
        build(factory, settings={}, **SHAPE)


def _checkpoint(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "weights.pt"
    torch.save(content, path)
    return path


@pytest.mark.parametrize(("change", "told"), [
    (lambda weights: {**weights, "0.weight": torch.zeros(8, 3, 3, 3)}, "has another shape"),
    (lambda weights: {k: v for k, v in weights.items() if k != "0.weight"}, "lacks '0.weight'"),
    (lambda weights: {**weights, "head.bias": torch.zeros(2)}, "holds 'head.bias'"),
    (lambda weights: [1, 2], "not a state dict"),
])
def test_checkpoints_of_another_network(
    tmp_path: Path, change: Callable[[Any], Any], told: str
) -> None:
    network = robench.model("small-cnn", num_classes=2, in_channels=1, image_size=16)
    assert isinstance(network, nn.Sequential)
    path = _checkpoint(tmp_path, change(network[1].state_dict()))
    with pytest.raises(UserError, match=told) as caught:
        robench.model("small-cnn", num_classes=2, in_channels=1, image_size=16, checkpoint=path)
    assert str(path) in str(caught.value)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    marker = tmp_path / "ran"

    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (marker,))

    path.write_bytes(pickle.dumps({"weight": Trap()}))
    with pytest.raises(UserError, match=r"weights\.pt"):
        robench.model("small-cnn", num_classes=2, in_channels=1, image_size=16, checkpoint=path)
    assert not marker.exists()


def test_a_file_that_is_no_checkpoint(tmp_path: Path) -> None:
    for name in ("weights.safetensors", "weights.pt"):
        (tmp_path / name).write_bytes(b"not weights at all")
        with pytest.raises(UserError, match=name):
            robench.model("small-cnn", num_classes=2, in_channels=1, image_size=16,
                          checkpoint=tmp_path / name)


def test_a_missing_checkpoint_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"")
    with pytest.raises(UserError, match=r"did you mean 'weights\.pt'"):
        robench.model("small-cnn", num_classes=2, in_channels=1, image_size=16,
                      checkpoint=tmp_path / "weight.pt")
