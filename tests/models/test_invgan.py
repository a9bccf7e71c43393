"""InvGAN in front of ResNet-34: its sizes, its parts, its projection."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

import robench
from robench.defenses.pruning import prunable, prune_l1
from robench.freezing import frozen
from robench.models.dcgan import Canvas, Critic, Generator, Resize
from robench.models.invgan import InvGan, invgan_resnet34
from robench.normalisation import Normalize
from robench.registry import Registry
from robench.testing.networks import pixels

SMALL: dict[str, Any] = {"latent": 8, "width": 4}


def built(size: tuple[int, int], *, channels: int = 1, **settings: Any) -> InvGan:
    torch.manual_seed(0)
    network = invgan_resnet34(
        num_classes=3, in_channels=channels, image_size=size, **{**SMALL, **settings}
    )
    assert isinstance(network, InvGan)
    return network.eval()


def small(size: tuple[int, int] = (8, 8)) -> InvGan:
    """With a linear layer for the classifier, where nothing depends on that."""
    network = built(size)
    network.classifier = nn.Sequential(nn.Flatten(), nn.Linear(size[0] * size[1], 3))
    return network


@pytest.mark.parametrize(("size", "base", "doublings"), [
    ((8, 8), (4, 4), 1), ((28, 28), (4, 4), 3), ((32, 32), (4, 4), 3), ((50, 50), (4, 4), 4),
    ((40, 60), (5, 8), 3), ((64, 33), (8, 5), 3), ((64, 64), (4, 4), 4), ((224, 224), (4, 4), 4),
    ((256, 100), (8, 4), 3),
])  # fmt: skip
def test_a_canvas_doubles_evenly_and_covers_the_image(
    size: tuple[int, int], base: tuple[int, int], doublings: int
) -> None:
    canvas = Canvas.of(size, resolution=64)
    assert (canvas.base, canvas.doublings) == (base, doublings)
    shrink = min(1.0, 64 / max(size))
    assert all(side >= shrink * wanted for side, wanted in zip(canvas.size, size, strict=True))
    assert canvas.channels(4) == [4, 8, 16, 32][:doublings]
    assert max(Canvas.of((256, 256), resolution=256).channels(4)) == 32, "eight times at most"


@pytest.mark.parametrize(("size", "channels"), [
    ((28, 28), 1), ((64, 64), 3), ((44, 30), 1), ((50, 61), 2), ((224, 224), 3), ((256, 100), 1),
])  # fmt: skip
def test_any_image_is_projected_and_classified(size: tuple[int, int], channels: int) -> None:
    network = built(size, channels=channels)
    images = torch.rand(2, channels, *size, requires_grad=True)
    before = images.detach().clone()
    made = network.project(images)
    assert made.shape == images.shape
    assert float(made.detach().min()) >= 0
    assert float(made.detach().max()) <= 1 + 1e-6
    assert network.encoder(images).shape == (2, network.latent) == (2, 8)
    assert network.critic(images).shape == (2,)
    logits = network.classifier(made)
    assert logits.shape == (2, 3)
    logits[:, 0].sum().backward()
    assert images.grad is not None
    assert bool((images.grad.abs().amax(dim=(1, 2, 3)) > 0).all())
    assert torch.equal(images.detach(), before)


def test_the_logits_are_those_of_the_projection() -> None:
    network = small((28, 28)).double()
    images = torch.rand(3, 1, 28, 28, dtype=torch.float64)
    with torch.no_grad():
        made = network.generator(network.encoder(images))
        assert torch.equal(network(images), network.classifier(made))
        assert torch.equal(network(images), network(images))
        assert torch.allclose(network(images[1:2]), network(images)[1:2], atol=1e-12)
        assert not torch.allclose(network(images), network.classifier(images), atol=1e-3)


def test_the_critic_has_no_say_in_a_prediction() -> None:
    network = small()
    images = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        before = network(images)
        for weight in network.critic.parameters():
            weight.fill_(3.0)
        assert torch.equal(network(images), before)


def test_normalisation_is_behind_the_projection_only() -> None:
    network = robench.model("invgan-resnet34", num_classes=2, in_channels=1, image_size=8, **SMALL)
    assert isinstance(network, InvGan), "nothing is put in front"
    found = [path for path, layer in network.named_modules() if isinstance(layer, Normalize)]
    assert found == ["classifier.0"]
    assert float(network.classifier[0].mean) == pytest.approx(0.449)
    assert built((8, 8), channels=3).classifier[0].mean.flatten().tolist() == pytest.approx(
        [0.485, 0.456, 0.406]
    )


@pytest.mark.parametrize(("source", "target"), [
    ((50, 40), (64, 48)), ((224, 100), (64, 29)), ((8, 9), (9, 8)),
])  # fmt: skip
def test_resizing_is_bilinear_interpolation(
    source: tuple[int, int], target: tuple[int, int]
) -> None:
    images = torch.rand(2, 3, *source)
    expected = functional.interpolate(images, target, mode="bilinear", antialias=True)
    assert torch.allclose(Resize(source, target)(images), expected, atol=1e-5)
    assert not list(Resize(source, target).state_dict()), "nothing to keep in a checkpoint"


def test_the_critic_is_spectrally_normalised() -> None:
    torch.manual_seed(0)
    critic = Critic(Canvas.of((32, 32), resolution=64), in_channels=1, width=4)
    with torch.no_grad():
        for weight in critic.parameters():
            weight.mul_(50.0)
    for _ in range(30):
        critic(pixels(4, 1, 32))
    critic.eval()
    before = {name: value.clone() for name, value in critic.state_dict().items()}
    normalised = [layer for layer in critic.layers if hasattr(layer, "parametrizations")]
    assert len(normalised) == 4
    for layer in normalised:
        largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), ord=2)
        assert float(largest) == pytest.approx(1.0, abs=0.02)
    critic(pixels(4, 1, 32))
    for name, value in critic.state_dict().items():
        assert torch.equal(value, before[name]), "no power iteration in eval mode"


def test_it_saves_loads_and_copies(tmp_path: Path) -> None:
    network = built((8, 8))
    network.train()
    network(pixels(4, 1, 8))
    network.critic(pixels(4, 1, 8))
    network.eval()
    path = tmp_path / "network.safetensors"
    safetensors.torch.save_file(network.state_dict(), path)
    torch.manual_seed(1)
    loaded = robench.model(
        "invgan-resnet34", num_classes=3, in_channels=1, image_size=8, checkpoint=path, **SMALL
    ).eval()
    images = pixels(2, 1, 8)
    with torch.no_grad():
        for other in (loaded, copy.deepcopy(network)):
            assert torch.equal(other(images), network(images))
            assert torch.equal(other.critic(images), network.critic(images))


def test_pruning_leaves_the_critic_alone() -> None:
    network = small()
    before = copy.deepcopy(network.critic.state_dict())
    layers = {id(layer) for layer in prunable(network)}
    assert not layers & {id(layer) for layer in network.critic.modules()}
    assert prune_l1(network, rate=0.5) == pytest.approx(0.5, abs=1e-3)
    for name, value in network.critic.state_dict().items():
        assert torch.equal(value, before[name])
    assert bool((network.encoder.layers[-1].weight == 0).any())


def test_try_out_moves_no_buffer() -> None:
    network = small().train()
    before = copy.deepcopy(network.state_dict())
    with frozen(network), torch.no_grad():
        network(pixels(2, 1, 8))
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_card_states_the_signature_and_the_size() -> None:
    card = Registry.discover().get("model", "invgan-resnet34").card
    defaults = invgan_resnet34.__kwdefaults__
    assert card.params == {name: defaults[name] for name in card.params}
    assert set(card.params) == set(defaults)
    with torch.device("meta"):
        network = invgan_resnet34(num_classes=2, in_channels=3, image_size=(64, 64))
    counts = {name: _count(part) for name, part in network.named_children()}
    # every layer's weights and biases, from the description on the card
    assert counts["classifier"] == 21_285_698
    assert counts["generator"] == (
        128 * 8192 + 8192 + 2 * (512 + 256 + 128 + 64)
        + sum(16 * a * b + b for a, b in ((512, 256), (256, 128), (128, 64), (64, 3)))
    )
    convolutions = sum(16 * a * b + b for a, b in ((3, 64), (64, 128), (128, 256), (256, 512)))
    assert counts["encoder"] == convolutions + 8192 * 128 + 128
    assert counts["critic"] == convolutions + 8192 + 1
    assert f"{counts['critic'] / 1e6:.1f} M of {_count(network) / 1e6:.1f} M" in str(card.notes)


def _count(part: nn.Module) -> int:
    return sum(weight.numel() for weight in part.parameters())


def test_a_generator_makes_other_images_of_other_latents() -> None:
    torch.manual_seed(0)
    generator = Generator(Canvas.of((28, 28), resolution=64), in_channels=1, latent=8, width=4)
    latents: Tensor = torch.randn(2, 8)
    one, other = generator.eval()(latents)
    assert not torch.allclose(one, other, atol=1e-3)
