"""Auto-Encoder Block Switching: which channel an image goes through."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

import robench
from robench.models.autoencoder import DenoisedClassifier
from robench.models.block_switching import SwitchedClassifier, aebs
from robench.models.resnet import resnet18
from robench.models.small_cnn import small_cnn
from robench.normalisation import with_normalisation

SHAPE: dict[str, Any] = {"num_classes": 3, "in_channels": 1, "image_size": (12, 10)}
IMAGES = torch.rand(9, 1, 12, 10, generator=torch.Generator().manual_seed(0))


def small(**settings: Any) -> tuple[DenoisedClassifier, SwitchedClassifier]:
    torch.manual_seed(0)
    network = aebs(**SHAPE, base="small-cnn", width=4, **settings)
    assert isinstance(network, DenoisedClassifier)
    assert isinstance(network.classifier, SwitchedClassifier)
    return network.eval(), network.classifier


def per_channel(network: DenoisedClassifier, classifier: SwitchedClassifier) -> Tensor:
    """Logits of every channel, channels×N×K."""
    with torch.no_grad():
        denoised = network.denoiser(IMAGES)
        return torch.stack(
            [classifier.through(number)(denoised) for number in range(len(classifier.channels))]
        )


def test_every_pass_is_one_channel_and_all_are_drawn() -> None:
    network, classifier = small()
    by_channel = per_channel(network, classifier)
    seen = set()
    torch.manual_seed(1)
    for _ in range(40):
        with torch.no_grad():
            logits = network(IMAGES)
        (same,) = [number for number, each in enumerate(by_channel) if torch.equal(each, logits)]
        seen.add(same)
    assert seen == {0, 1, 2, 3}


def test_the_draw_is_that_of_torchs_global_generator() -> None:
    network, classifier = small()
    by_channel = per_channel(network, classifier)
    for seed in range(8):
        torch.manual_seed(seed)
        expected = by_channel[int(torch.randint(4, (1,)))]
        for _ in range(2):
            torch.manual_seed(seed)
            with torch.no_grad():
                assert torch.equal(network(IMAGES), expected)


def test_per_image_each_goes_through_its_own_channel() -> None:
    network, classifier = small(per_image=True)
    by_channel = per_channel(network, classifier)
    torch.manual_seed(3)
    drawn = torch.randint(4, (len(IMAGES),))
    assert len(drawn.unique()) > 2
    torch.manual_seed(3)
    with torch.no_grad():
        logits = network(IMAGES)
    assert torch.allclose(logits, by_channel[drawn, torch.arange(len(IMAGES))], atol=1e-5)
    others = by_channel[(drawn + 1) % 4, torch.arange(len(IMAGES))]
    assert not bool((logits - others).abs().amax(dim=1).min() < 1e-4)


@pytest.mark.parametrize("per_image", [False, True])
def test_a_batch_of_one_works(per_image: bool) -> None:
    network, _ = small(per_image=per_image)
    assert network(IMAGES[:1]).shape == (1, 3)


@pytest.mark.parametrize("per_image", [False, True])
def test_training_moves_one_channel_for_a_batch(per_image: bool) -> None:
    network, classifier = small(per_image=per_image)
    network.train()
    torch.manual_seed(5)
    drawn = int(torch.randint(4, (1,)))
    torch.manual_seed(5)
    network(IMAGES[:2]).square().sum().backward()
    for number, channel in enumerate(classifier.channels):
        tracked = {int(buffer) for name, buffer in channel.named_buffers() if "batches" in name}
        assert tracked == {int(number == drawn)}
        assert all((weight.grad is not None) == (number == drawn)
                   for weight in channel.parameters())
    assert all(weight.grad is not None for weight in classifier.upper.parameters())


@pytest.mark.parametrize("per_image", [False, True])
def test_a_gradient_reaches_every_image(per_image: bool) -> None:
    network, _ = small(per_image=per_image)
    images = IMAGES.clone().requires_grad_(True)
    network(images).square().sum().backward()
    assert images.grad is not None
    assert bool((images.grad != 0).flatten(1).any(dim=1).all())


def test_channels_start_from_different_weights() -> None:
    _, classifier = small()
    first = [next(channel.parameters()) for channel in classifier.channels]
    assert all(not torch.equal(one, other)
               for place, one in enumerate(first) for other in first[place + 1:])


@pytest.mark.parametrize(("base", "split", "in_upper"), [
    (small_cnn, 1, 3), (small_cnn, 2, 2), (small_cnn, 3, 1), (small_cnn, None, 1),
    (resnet18, 1, 16), (resnet18, 3, 6), (resnet18, None, 1),
])
def test_the_halves_are_the_whole_network(base: Any, split: int | None, in_upper: int) -> None:
    """`in_upper`: convolutions and linear layers above the switch."""
    build = partial(base, **SHAPE)
    torch.manual_seed(4)
    whole = with_normalisation(build(), 1).eval()
    torch.manual_seed(4)
    switched = SwitchedClassifier(build, in_channels=1, channels=2, split=split).eval()
    with torch.no_grad():
        assert torch.allclose(switched.through(0)(IMAGES), whole(IMAGES), atol=1e-6)
        assert not torch.allclose(switched.through(1)(IMAGES), whole(IMAGES), atol=1e-3)
    above = [layer for layer in switched.upper.modules()
             if isinstance(layer, (nn.Conv2d, nn.Linear))]
    assert len(above) == in_upper


def test_a_new_upper_part_has_weights_of_its_own() -> None:
    _, classifier = small(split=2)
    fresh, own = classifier.new_upper(), classifier.upper
    shapes = [{name: tensor.shape for name, tensor in part.state_dict().items()}
              for part in (fresh, own)]
    assert shapes[0] == shapes[1]
    assert not torch.equal(next(fresh.parameters()), next(own.parameters()))
    with torch.no_grad():
        one, other = classifier.through(1)(IMAGES), classifier.through(1, fresh)(IMAGES)
    assert not torch.allclose(one, other)


@pytest.mark.parametrize(("base", "channels", "parameters"), [
    ("resnet18", 4, 970_819 + 4 * 11_176_512 + 5_130),
    ("resnet34", 2, 970_819 + 2 * 21_284_672 + 5_130),
])
def test_parameters_are_those_of_the_parts(base: Any, channels: int, parameters: int) -> None:
    with torch.device("meta"):
        network = aebs(num_classes=10, in_channels=3, image_size=(224, 224), base=base,
                       channels=channels)
    assert sum(weight.numel() for weight in network.parameters()) == parameters


def test_weights_save_load_and_copy() -> None:
    network, _ = small()
    torch.manual_seed(9)
    other = aebs(**SHAPE, base="small-cnn", width=4).eval()
    other.load_state_dict(safetensors.torch.load(safetensors.torch.save(network.state_dict())))
    for same in (other, copy.deepcopy(network)):
        for seed in range(3):
            torch.manual_seed(seed)
            expected = network(IMAGES)
            torch.manual_seed(seed)
            assert torch.equal(same(IMAGES), expected)


def test_the_registry_builds_it_and_calls_it_stochastic() -> None:
    network = robench.model("aebs", base="small-cnn", channels=3, per_image=True, **SHAPE)
    assert isinstance(network, DenoisedClassifier), "nothing stands in front of the denoiser"
    assert isinstance(network.classifier, SwitchedClassifier)
    assert len(network.classifier.channels) == 3
    assert network.classifier.per_image
    card = robench.registry.Registry.discover().get("model", "aebs").card
    assert card.traits["stochastic"] is True
