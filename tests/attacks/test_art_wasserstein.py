"""ART's Wasserstein attack: what it needs to stay finite, and to work at every size."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import robench
from robench.attacks.art_wasserstein import ArtWasserstein

from .networks import load_digit_images, trained_cnn

SHORT = {"max_iter": 60, "conjugate_sinkhorn_max_iter": 60, "projected_sinkhorn_max_iter": 60}


def _small(network: nn.Module, side: int) -> tuple[nn.Module, Tensor, Tensor]:
    """The digits' CNN behind a reduction to 8×8 pixels, and eight digits that it gets right."""
    images, labels = (values[1400:1420] for values in load_digit_images())
    large = nn.functional.interpolate(images, size=(side, side), mode="bilinear").clamp(0, 1)
    reduced = nn.Sequential(nn.AdaptiveAvgPool2d(8), network).eval()
    with torch.no_grad():
        rows = (reduced(large).argmax(dim=1) == labels).nonzero()[:8, 0]
    return reduced, large[rows], labels[rows]


@pytest.mark.parametrize("side", [8, 28, pytest.param(64, marks=pytest.mark.slow)])
def test_at_every_size_its_default_breaks_a_trained_network(side, recwarn) -> None:
    network, images, labels = _small(trained_cnn(), side)
    attack = robench.attack("art/wasserstein", **SHORT)
    result = attack(network, images, labels, epsilons=None)[0]
    assert int(result.success.sum()) >= 7
    assert [each for each in recwarn if issubclass(each.category, RuntimeWarning)] == []
    moved = (result.adversarial - images).abs().flatten(1).sum(dim=1)
    assert bool((moved < 0.6 * images.flatten(1).sum(dim=1)).all())


@pytest.mark.parametrize(("shape", "expected"), [
    ((1, 28, 28), 3000.0), ((1, 8, 8), 3000.0 * 64 / 784), ((3, 32, 32), 3000.0 * 3072 / 784),
])
def test_its_default_is_arts_for_as_many_values(shape, expected, monkeypatch) -> None:
    seen = []

    class Recorded:
        def __init__(self, classifier, *, regularization) -> None:
            seen.append(regularization)

        def set_params(self, *, regularization) -> None:
            seen.append(regularization)

    class Classifier:
        input_shape = shape

    monkeypatch.setattr(ArtWasserstein, "made_by", lambda _: Recorded)
    ArtWasserstein().build(Classifier(), epsilon=1.0, batch_size=1)
    assert seen[-1] == pytest.approx(expected)
    seen.clear()
    ArtWasserstein(regularization=7.0).build(Classifier(), epsilon=1.0, batch_size=1)
    assert seen == [7.0]


class _Finite:
    """ART's class with its faults mended, without a network."""

    def __init__(self, regularization: float) -> None:
        self.made = object.__new__(ArtWasserstein().made_by())
        self.made.regularization = regularization
        self.made.kernel_size, self.made.eps_step = 5, 0.1
        self.made.conjugate_sinkhorn_max_iter = self.made.projected_sinkhorn_max_iter = 30
        self.made._estimator = type("Estimator", (), {"channels_first": True})()
        self.cost = self.made._compute_cost_matrix(2, 5)


def _images(count: int = 2, side: int = 6) -> np.ndarray:
    return np.random.default_rng(0).random((count, 1, side, side)).astype(np.float32)


def test_where_nothing_overflows_a_step_is_arts_own() -> None:
    from art.attacks.evasion import Wasserstein

    finite, images = _Finite(100.0), _images()
    slopes = np.random.default_rng(1).normal(size=images.shape).astype(np.float32)
    found = finite.made._conjugate_sinkhorn(images, slopes, finite.cost)
    arts = Wasserstein._conjugate_sinkhorn(finite.made, images, slopes, finite.cost)
    assert np.array_equal(found, arts)
    assert not np.array_equal(found, images)


def test_a_gradient_that_is_too_large_is_scaled_for_its_image_alone() -> None:
    from art.attacks.evasion import Wasserstein

    finite, images = _Finite(100.0), _images()
    slopes = np.random.default_rng(1).normal(size=images.shape).astype(np.float32)
    slopes[1] *= 100 / np.abs(slopes[1]).max()
    with pytest.raises(ValueError, match="Overflow error"), np.errstate(over="ignore"):
        Wasserstein._conjugate_sinkhorn(finite.made, images, slopes, finite.cost)
    found = finite.made._conjugate_sinkhorn(images, slopes, finite.cost)
    assert np.isfinite(found).all()
    slopes[1] *= 0.07
    expected = Wasserstein._conjugate_sinkhorn(finite.made, images, slopes, finite.cost)
    assert np.allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_a_projection_that_float32_cannot_hold_is_one() -> None:
    from art.attacks.evasion import Wasserstein

    finite, clean = _Finite(1000.0), _images(1)
    moved = clean.copy()
    moved[0, 0, 2, 2] += 0.2 * clean.sum()  # 1,000 times its share is more than 89
    given = (moved, clean, finite.cost, np.array([0.3]))
    with np.errstate(all="ignore"):
        assert np.isinf(Wasserstein._projected_sinkhorn(finite.made, *given)).any()
        found = finite.made._projected_sinkhorn(*given)
    assert np.isfinite(found).all()


def test_a_projection_that_float64_cannot_hold_ends_the_image_and_no_other() -> None:
    """Nearly all of the first image's brightness is in one place."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 2, bias=False)).requires_grad_(False)
    network[1].weight.copy_(torch.stack([torch.ones(36), -torch.ones(36)]))
    images = torch.from_numpy(_images())
    images[0] = 1e-4
    images[0, 0, 2, 2] = 1.0
    attack = robench.attack("art/wasserstein", regularization=3000.0, **SHORT | {"max_iter": 2})
    with pytest.warns(RuntimeWarning, match="an overflow in ART's projection at regularization "
                                            "3000, which a lower one may avoid on 1 of 2 images"):
        attack(network, images, torch.zeros(2).long(), epsilons=None)


@pytest.mark.parametrize(("channels", "size"), [(1, 3), (3, 5)])
def test_neighbourhoods_are_arts(channels, size) -> None:
    from art.attacks.evasion import Wasserstein

    values = np.random.default_rng(0).random((2, channels, 4, 7))
    found = ArtWasserstein().made_by()._unfold(values, size, size // 2)
    assert np.array_equal(found, Wasserstein._unfold(values, size, size // 2))
    assert found.shape == (2, channels * size**2, math.prod(values.shape[2:]))
