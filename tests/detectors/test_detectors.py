"""Each detector finds attacks that do not know of it, and is a function of the image alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from robench.defenses.backward import StraightThrough
from robench.defenses.bit_depth import BitDepth
from robench.detectors import (
    Detection,
    Detector,
    KernelDensity,
    LocalIntrinsicDimensionality,
    Mahalanobis,
    SqueezeDifference,
    evaluate,
)

from .conftest import Watched

FITS: dict[str, Callable[[Watched], Detector]] = {
    "kernel density": lambda w: KernelDensity.fit(w.network, w.images, w.labels, bandwidth=2.0),
    "LID": lambda w: LocalIntrinsicDimensionality.fit(
        w.network, w.images[:400], adversarial=w.held_out_strong),
    "Mahalanobis": lambda w: Mahalanobis.fit(w.network, w.images, w.labels),
    "Mahalanobis, all layers": lambda w: Mahalanobis.fit(
        w.network, w.images, w.labels, adversarial=w.held_out_strong),
    "Mahalanobis, prepared": lambda w: Mahalanobis.fit(
        w.network, w.images, w.labels, magnitude=0.005),
    "squeezing": lambda w: SqueezeDifference.fit(
        w.network, w.images, squeezers=[StraightThrough(BitDepth(3))]),
}
EXPECTED = {"kernel density": (0.75, "strong"), "LID": (0.75, "strong"),
            "Mahalanobis": (0.85, "strong"), "Mahalanobis, all layers": (0.97, "strong"),
            "Mahalanobis, prepared": (0.85, "strong"), "squeezing": (0.9, "nearby")}


@pytest.fixture(scope="module")
def detectors(watched: Watched) -> dict[str, Detector]:
    return {name: fit(watched) for name, fit in FITS.items()}


@pytest.mark.parametrize("name", FITS)
def test_attacks_are_found_far_better_than_by_chance(name, watched, detectors) -> None:
    least, attack = EXPECTED[name]
    found = evaluate(detectors[name], watched.tests, watched.truth, getattr(watched, attack))
    assert isinstance(found, Detection)
    assert found.auroc > least
    assert found.clean > 140
    assert found.adversarial > 140
    assert found.false_alarms <= 0.05 * found.clean
    assert found.detected > found.false_alarms


@pytest.mark.parametrize("name", FITS)
def test_scores_are_those_of_the_image_alone(name, watched, detectors) -> None:
    detector, images = detectors[name], watched.tests[:7]
    together = detector.scores(images)
    assert together.shape == (7,)
    assert bool(torch.isfinite(together).all())
    alone = torch.cat([detector.scores(image[None]) for image in images])
    torch.testing.assert_close(alone, together, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(detector.scores(images, batch_size=3), together, rtol=1e-3,
                               atol=1e-4)
    assert detector.scores(images[:0]).shape == (0,)


@pytest.mark.parametrize("name", [name for name in FITS if name != "squeezing"])
def test_gradients_are_finite_differences(name, watched, detectors) -> None:
    """In float64, along the step of steepest ascent."""
    detector = detectors[name].double()
    try:
        images = watched.strong[:3].double().requires_grad_(True)
        (gradient,) = torch.autograd.grad(detector(images).sum(), images)
        step = 1e-6 * gradient.sign()
        if name != "Mahalanobis, prepared":  # the step towards the class is taken as fixed
            with torch.no_grad():
                rise = detector(images + step) - detector(images - step)
            slope = (gradient * step).sum(dim=(1, 2, 3)) * 2
            torch.testing.assert_close(rise, slope, rtol=2e-3, atol=1e-12)
        assert bool((gradient != 0).flatten(1).any(dim=1).all())
    finally:
        detector.float()


def test_the_gradient_of_squeezing_passes_rounding(watched, detectors) -> None:
    images = watched.nearby[:5].clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(detectors["squeezing"](images).sum(), images)
    assert bool(torch.isfinite(gradient).all())
    assert bool((gradient != 0).flatten(1).any(dim=1).all())


@pytest.mark.parametrize("name", FITS)
def test_the_network_is_as_before(name, watched) -> None:
    network = watched.network
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.train()
    try:
        FITS[name](watched).scores(watched.tests[:2])
        assert all(module.training for module in network.modules())
    finally:
        network.eval()
    assert all(weight.requires_grad for weight in network.parameters())
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks
                   for module in network.modules())


def test_layers_may_be_named(watched) -> None:
    named = Mahalanobis.fit(watched.network, watched.images, watched.labels, layers=["2", "6"])
    default = Mahalanobis.fit(watched.network, watched.images, watched.labels)
    assert named.layers == default.layers == ("6",)
    both = LocalIntrinsicDimensionality.fit(
        watched.network, watched.images[:200], adversarial=watched.held_out_strong,
        layers=["6", "2"], references=50, k=10)
    assert both.layers == ("6", "2")
    assert both.dimensionality(watched.tests[:4]).shape == (4, 2)


def test_the_seed_of_lid_decides(watched) -> None:
    def fit(seed: int) -> torch.Tensor:
        return LocalIntrinsicDimensionality.fit(
            watched.network, watched.images[:150], adversarial=watched.held_out_strong,
            references=40, k=5, seed=seed).scores(watched.tests[:5])

    state = torch.get_rng_state()
    first, again, other = fit(0), fit(0), fit(1)
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_one_logit_is_a_choice_of_two(watched) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 1))
    labels = (watched.labels > 4).long()
    for detector in (KernelDensity.fit(network, watched.images, labels, bandwidth=1.0),
                     Mahalanobis.fit(network, watched.images, labels),
                     SqueezeDifference.fit(network, watched.images)):
        assert bool(torch.isfinite(detector.scores(watched.tests[:3])).all())
