"""Defenses that change the layers of a copy of the network."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

import robench
from robench.defenses.attention_noise import AttentionNoise, PixelNoise, global_attention_noise
from robench.defenses.avgpool import avgpool_for_maxpool
from robench.defenses.bounded_relu import BoundedReLU, bounded_relu
from robench.defenses.kwta import kwta
from robench.errors import UserError
from robench.models.kwta import KWinners

from .images import pixels, seeded, slope_error

ALL = {"avgpool": avgpool_for_maxpool, "bounded-relu": bounded_relu, "kwta": kwta,
       "noise": global_attention_noise}


def small(channels: int = 1) -> nn.Module:
    return robench.model("small-cnn", width=4, num_classes=3, in_channels=channels, image_size=16)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_given_network_is_as_it_was(name: str, channels: int) -> None:
    network = small(channels)
    before, layers = copy.deepcopy(network.state_dict()), [type(m) for m in network.modules()]
    images = pixels(3, channels, 16, 16)
    logits = network(images)
    guarded = ALL[name](network)
    with torch.no_grad():
        assert not torch.allclose(seeded(guarded.eval(), images), logits, atol=1e-4)
        for weight in guarded.parameters():
            weight.zero_()
    assert [type(module) for module in network.modules()] == layers
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert torch.equal(network(images), logits)


def plain(images: Tensor, network: nn.Sequential, pool: Callable, relu: Callable) -> Tensor:
    """The layers of a small-cnn one after the other, with other pooling and ReLUs."""
    features = images
    for layer in network:
        if isinstance(layer, nn.Sequential):
            features = plain(features, layer, pool, relu)
        elif isinstance(layer, nn.MaxPool2d):
            features = pool(features)
        elif isinstance(layer, nn.ReLU):
            features = relu(features)
        else:
            features = layer(features)
    return features


@pytest.mark.parametrize(("factory", "pool", "relu"), [
    (avgpool_for_maxpool, lambda x: functional.avg_pool2d(x, 2), functional.relu),
    (lambda n: bounded_relu(n, bound=0.4), lambda x: functional.max_pool2d(x, 2),
     lambda x: x.clamp(0, 0.4)),
    (kwta, lambda x: functional.max_pool2d(x, 2), KWinners(0.2)),
])
def test_only_those_layers_are_exchanged(factory, pool, relu) -> None:
    network, images = small(), pixels(3, 1, 16, 16)
    expected = plain(images, network, pool, relu)
    torch.testing.assert_close(factory(network)(images), expected)


def test_the_geometry_of_a_pooling_layer_stays() -> None:
    for settings in ({"kernel_size": 3, "stride": 2, "padding": 1}, {"kernel_size": (3, 2)},
                     {"kernel_size": 3, "stride": 2, "ceil_mode": True}):
        layer, images = nn.MaxPool2d(**settings), pixels(2, 3, 15, 13)
        averaged = avgpool_for_maxpool(nn.Sequential(layer))(images)
        assert averaged.shape == layer(images).shape
        ones = avgpool_for_maxpool(nn.Sequential(layer))(torch.ones(1, 1, 15, 13))
        torch.testing.assert_close(ones, torch.ones_like(ones))


@pytest.mark.parametrize("make", [
    lambda: torchvision.models.squeezenet1_1(num_classes=4),
    lambda: timm.create_model("resnet10t", num_classes=4),
])
def test_networks_of_torchvision_and_timm(make: Callable[[], nn.Module]) -> None:
    network = make().eval()
    guarded = avgpool_for_maxpool(network)
    pooling = sum(isinstance(layer, nn.MaxPool2d) for layer in network.modules())
    assert pooling > 0
    assert not any(isinstance(layer, nn.MaxPool2d) for layer in guarded.modules())
    assert sum(isinstance(layer, nn.AvgPool2d) for layer in guarded.modules()) >= pooling
    assert guarded(pixels(2, 3, 64, 64)).shape == (2, 4)


def test_timms_padding_stays() -> None:
    from timm.layers.pool2d_same import MaxPool2dSame

    images = pixels(1, 2, 15, 15)
    layer = MaxPool2dSame(3, stride=2)
    averaged = avgpool_for_maxpool(nn.Sequential(layer))(images)
    assert averaged.shape == layer(images).shape
    assert float(averaged[0, 0, 3, 3]) == pytest.approx(float(images[0, 0, 5:8, 5:8].mean()))


def test_a_layer_that_stands_at_two_places_stays_one() -> None:
    relu = nn.ReLU()
    network = nn.Sequential(nn.Linear(4, 4), relu, nn.Linear(4, 4), relu)
    guarded = bounded_relu(network)
    assert isinstance(guarded[1], BoundedReLU)
    assert guarded[1] is guarded[3]
    assert isinstance(bounded_relu(relu), BoundedReLU)


def test_the_mode_of_the_network_stays() -> None:
    assert not bounded_relu(small().eval())[1][2].training


@pytest.mark.parametrize(("factory", "told"), [
    (avgpool_for_maxpool, "no max-pooling layer"), (bounded_relu, "no ReLU layer"),
    (kwta, "no ReLU layer"), (global_attention_noise, "no convolutional layer"),
])
def test_nothing_to_replace(factory: Callable[..., nn.Module], told: str) -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(4, 2)

    with pytest.raises(UserError, match=f"{told}, got 'Bare'"):
        factory(Bare())


@pytest.mark.parametrize("layer", [nn.MaxPool2d(2, dilation=2), nn.MaxPool2d(2, dilation=(1, 2)),
                                   nn.MaxPool2d(2, return_indices=True)])
def test_pooling_that_has_no_average(layer: nn.Module) -> None:
    with pytest.raises(UserError, match="no average-pooling counterpart"):
        avgpool_for_maxpool(nn.Sequential(layer))


@pytest.mark.parametrize(("make", "told"), [
    (lambda: bounded_relu(small(), bound=0.0), "bound, got 0.0"),
    (lambda: kwta(small(), ratio=0.0), "ratio, got 0.0"),
    (lambda: global_attention_noise(small(), global_noise=-1.0), "global_noise, got -1.0"),
    (lambda: global_attention_noise(small(), attention_noise=-1.0), "attention_noise, got -1.0"),
])
def test_settings_that_are_none(make: Callable[[], nn.Module], told: str) -> None:
    with pytest.raises(UserError, match=told):
        make()


def test_attention_noise_is_as_strong_as_the_attention() -> None:
    features = torch.zeros(1, 8, 6, 6)
    features[:, :, 2, 3], features[:, :, 4, 4] = 4.0, -2.0
    noisy = seeded(AttentionNoise(0.5), features.expand(3000, -1, -1, -1))
    spread = (noisy - features).std(dim=0).mean(dim=0)
    scale = 0.5 * float(features.std(correction=0))
    assert float(spread[2, 3]) == pytest.approx(scale, rel=0.05)
    assert float(spread[4, 4]) == pytest.approx(scale / 2, rel=0.05)
    assert float(spread[0, 0]) == 0.0
    assert float((noisy - features).mean().abs()) < 0.01


@pytest.mark.parametrize("module", [AttentionNoise(0.3), PixelNoise(0.01)])
def test_gradients_through_noise_are_finite_differences(module: nn.Module) -> None:
    features = pixels(2, 3, 7, 5) * 0.8 + 0.1
    assert slope_error(module, features) < 1e-5


def test_noise_of_black_images_is_none_and_has_a_gradient() -> None:
    black = torch.zeros(2, 3, 5, 5, requires_grad=True)
    output = AttentionNoise(0.3)(black)
    output.sum().backward()
    assert torch.equal(output.detach(), torch.zeros(2, 3, 5, 5))
    assert bool(torch.isfinite(black.grad).all())


def test_noise_is_drawn_anew_for_each_image_and_pass() -> None:
    guarded = global_attention_noise(small()).eval()
    images = pixels(1, 1, 16, 16).expand(4, -1, -1, -1)
    with torch.no_grad():
        first, second, again = (seeded(guarded, images, seed) for seed in (0, 1, 0))
    assert torch.equal(first, again)
    assert not torch.allclose(first, second)
    assert len(first.unique(dim=0)) == 4
    quiet = global_attention_noise(small(), global_noise=0.0, attention_noise=0.0).eval()
    torch.testing.assert_close(quiet(images), small().eval()(images))
