"""The denoising auto-encoder, and ResNet-34 behind it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

import robench
from robench.models.autoencoder import (
    DenoisedClassifier,
    DenoisingAutoencoder,
    autoencoder_resnet34,
)
from robench.models.resnet import resnet34
from robench.normalisation import Normalize, with_normalisation


def count(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(8, 8), (9, 13), (28, 31), (64, 40)])
def test_pixels_to_pixels_of_any_size(size: tuple[int, int], channels: int) -> None:
    torch.manual_seed(0)
    network = DenoisingAutoencoder(channels, width=4)
    images = torch.rand(2, channels, *size, requires_grad=True)
    given = images.detach().clone()
    denoised = network(images)
    assert denoised.shape == images.shape
    low, high = denoised.detach().aminmax()
    assert 0 < float(low) < float(high) < 1
    denoised.square().sum().backward()
    assert images.grad is not None
    assert bool((images.grad != 0).flatten(1).any(dim=1).all())
    assert all(bool(weight.grad.any()) for weight in network.parameters())
    assert torch.equal(images, given)


def test_the_pixels_of_every_scale_matter() -> None:
    """Without its deepest maps and without those beside them it gives something else."""
    torch.manual_seed(0)
    network = DenoisingAutoencoder(1, width=4).eval()
    images = torch.rand(1, 1, 16, 16)
    whole = network(images)
    for stage in network.encoder:
        handle = stage.register_forward_hook(lambda *passed: torch.zeros_like(passed[-1]))
        assert not torch.allclose(network(images), whole, atol=1e-6)
        handle.remove()
    assert torch.equal(network(images), whole)


@pytest.mark.parametrize(("width", "channels"), [(8, 1), (32, 3)])
def test_parameters_of_the_autoencoder(width: int, channels: int) -> None:
    widths = [width, 2 * width, 4 * width, 8 * width]
    down = sum(9 * before * after + 2 * after
               for before, after in zip([channels, *widths[:-1]], widths, strict=True))
    up = sum(9 * (below + beside) * beside + 2 * beside
             for beside, below in pairwise(widths))
    with torch.device("meta"):
        network = DenoisingAutoencoder(channels, width=width)
    assert count(network) == down + up + 9 * width * channels + channels


@pytest.mark.parametrize(("classes", "of_resnet34"), [
    (15, 21_292_367), (5, 21_287_237), (7, 21_288_263),
])
def test_parameters_are_those_of_the_parts(classes: int, of_resnet34: int) -> None:
    with torch.device("meta"):
        network = autoencoder_resnet34(num_classes=classes, in_channels=3, image_size=(224, 224))
    assert count(network) == of_resnet34 + 970_819


@pytest.fixture(scope="module")
def grey() -> nn.Module:
    return robench.model("autoencoder-resnet34", num_classes=3, in_channels=1, image_size=(9, 13),
                         width=4)


def test_a_small_grey_image_that_is_not_square(grey: nn.Module) -> None:
    images = torch.rand(2, 1, 9, 13, requires_grad=True)
    logits = grey.train()(images)
    assert logits.shape == (2, 3)
    logits.square().sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_the_same_in_eval_mode_alone_and_among_others(grey: nn.Module) -> None:
    grey.eval()
    images = torch.rand(3, 1, 9, 13)
    with torch.no_grad():
        logits = grey(images)
        assert torch.equal(grey(images), logits)
        assert torch.allclose(grey(images[1:2])[0], logits[1], atol=1e-5)


def test_normalisation_stands_between_the_parts(grey: nn.Module) -> None:
    assert isinstance(grey, DenoisedClassifier), "nothing stands in front of the denoiser"
    assert with_normalisation(grey, 1) is grey
    assert isinstance(grey.classifier, nn.Sequential)
    first = grey.classifier[0]
    assert isinstance(first, Normalize)
    assert first.mean.flatten().tolist() == pytest.approx([0.449], abs=1e-3)
    images = torch.rand(2, 1, 9, 13)
    grey.eval()
    with torch.no_grad():
        assert torch.equal(grey(images), grey.classifier(grey.denoiser(images)))


def test_weights_save_and_load(grey: nn.Module) -> None:
    other = autoencoder_resnet34(num_classes=3, in_channels=1, image_size=(9, 13), width=4)
    data = safetensors.torch.save(grey.state_dict())
    other.load_state_dict(safetensors.torch.load(data))
    images = torch.rand(2, 1, 9, 13)
    with torch.no_grad():
        assert torch.equal(other.eval()(images), grey.eval()(images))


def test_imagenet_weights_are_those_of_the_classifier(tmp_path: Path) -> None:
    path = tmp_path / "resnet34.safetensors"
    weights = torchvision.models.resnet34(weights=None).state_dict()
    safetensors.torch.save_file(weights, path)
    network = autoencoder_resnet34(num_classes=2, in_channels=3, image_size=(64, 64), width=4,
                                   pretrained=str(path))
    found = network.state_dict()
    for name in ("conv1.weight", "layer4.2.bn2.running_var", "layer2.0.downsample.0.weight"):
        assert torch.equal(found[f"classifier.1.{name}"], weights[name]), name
    assert found["classifier.1.fc.weight"].shape == (2, 512)


@pytest.mark.parametrize(("stem", "stride"), [("auto", 2), ("small", 1)])
def test_stem_is_that_of_resnet34(stem: str, stride: int) -> None:
    facts = {"num_classes": 2, "in_channels": 3, "image_size": (64, 64)}
    with torch.device("meta"):
        network = autoencoder_resnet34(**facts, stem=stem, width=4)
        alone = resnet34(**facts, stem=stem)
    assert isinstance(network, DenoisedClassifier)
    assert network.classifier[1].conv1.stride == alone.conv1.stride == (stride, stride)
