"""The recipe `gaussian`: the noise it trains on, and what that is good for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from scipy import stats

from robench.errors import UserError
from robench.training.batches import to_pixels
from robench.training.gaussian import NoisyImages, gaussian
from robench.training.standard import standard

from .stand_ins import (
    InterruptedByTestError,
    Recorder,
    digits_data,
    same_bits,
    small_network,
    striped_data,
)
from .test_craft import Spy, seeded

SHORT: dict[str, Any] = {"device": "cpu", "seed": 0, "epochs": 3, "batch_size": 8}


def test_the_noise_is_normal() -> None:
    images = torch.full((20, 1, 16, 16), 0.5)
    noise = NoisyImages(sigma=0.25, clip=False).noisy(images, seeded()) - images
    assert stats.kstest(noise.flatten().numpy(), "norm", args=(0, 0.25)).pvalue > 0.01
    cut = NoisyImages(sigma=0.25, clip=True).noisy(images, seeded())
    assert torch.equal(cut, (images + noise).clamp(0.0, 1.0))
    assert float(cut.max()) == 1.0


@pytest.mark.parametrize("clip", [False, True])
def test_training_sees_new_noise_each_time_and_validation_the_same(clip: bool) -> None:
    shown: list[tuple[bool, torch.Tensor]] = []
    network = Spy(lambda module, pixels: shown.append((module.training, pixels.detach().clone())))
    gaussian(network, striped_data(8), **{**SHORT, "epochs": 2, "batch_size": 64}, clip=clip)
    training = [pixels for is_training, pixels in shown if is_training]
    validation = [pixels for is_training, pixels in shown[1:] if not is_training]
    assert len(training) == 2
    clean = to_pixels(striped_data(8).train.images, torch.device("cpu"))
    order = [torch.cdist(each.flatten(1), clean.flatten(1)).argmin(dim=1) for each in training]
    first, second = (pixels - clean[rows] for pixels, rows in zip(training, order, strict=True))
    assert not torch.equal(first.sort(dim=0).values, second.sort(dim=0).values)
    assert torch.equal(validation[1], validation[3])
    assert not torch.equal(validation[0], validation[1])
    inside = all(0 <= float(pixels.min()) and float(pixels.max()) <= 1 for pixels in training)
    assert inside == clip


@pytest.mark.parametrize("stop", [{"stop_after_epoch": 1}, {"stop_at_batch": (3, 2)}])
def test_taken_up_again_it_ends_in_the_same_bits(stop: dict[str, Any]) -> None:
    data = striped_data(25)
    expected = gaussian(small_network(), data, **SHORT)
    recorder = Recorder(**stop)
    with pytest.raises(InterruptedByTestError):
        gaussian(small_network(), data, **SHORT, monitor=recorder)
    again = Recorder(stored=recorder.stored)
    assert same_bits(gaussian(small_network(), data, **SHORT, monitor=again), expected)


def test_networks_stand_more_noise() -> None:
    data, right = digits_data(), []
    settings = {"device": "cpu", "seed": 0, "epochs": 5, "learning_rate": 0.01}
    for recipe, own in ((standard, {}), (gaussian, {"sigma": 0.35})):
        network = recipe(small_network(outputs=10, dropout=0.1), data, **settings, **own)
        images = to_pixels(data.test.images, torch.device("cpu"))
        noisy = NoisyImages(sigma=0.35, clip=False).noisy(images, seeded(1))
        with torch.no_grad():
            found = network(noisy).argmax(dim=1) == torch.from_numpy(data.test.labels)
        right.append(float(found.float().mean()))
    assert right[1] > right[0] + 0.05


@pytest.mark.parametrize(("settings", "told"), [
    ({"sigma": 0.0}, "parameter 'sigma'"), ({"sigma": "much"}, "parameter 'sigma'"),
    ({"clip": 1}, "parameter 'clip'"), ({"epochs": 0}, "parameter 'epochs'"),
])  # fmt: skip
def test_unfit_settings(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as caught:
        gaussian(small_network(), striped_data(8), **{**SHORT, **settings})
    assert told in str(caught.value)
