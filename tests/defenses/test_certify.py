"""Certificates of randomised smoothing, against closed forms and coverage."""

from __future__ import annotations

import math
import re

import pytest
import torch
from scipy.stats import beta, norm
from torch import Tensor, nn

from robench.defenses.smoothing import Certificate, certified_accuracy, certify, predict
from robench.errors import UserError

SIGMA = 0.5


class HalfSpace(nn.Module):
    """Class 1 where w·x > b."""

    def __init__(self, weight: Tensor, bias: float) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, images: Tensor) -> Tensor:
        score = images.flatten(1) @ self.weight - self.bias
        return torch.stack([-score, score], dim=1)


def at_distance(*distances: float) -> tuple[nn.Module, Tensor]:
    """A half space, and images at these signed L2 distances from its border."""
    weight = torch.arange(1.0, 17.0)
    network = HalfSpace(weight, float(weight.sum()) * 0.5)
    unit = weight / weight.norm()
    images = torch.stack([0.5 + distance * unit for distance in distances])
    return network, images.reshape(-1, 1, 4, 4)


def test_the_radius_of_a_half_space_is_the_distance_to_it() -> None:
    """The smoothed classifier is the half space itself: Cohen et al., section 3.1."""
    distances = [0.1, 0.3, -0.2, 0.7, -0.6]
    network, images = at_distance(*distances)
    found = certify(network, images, sigma=SIGMA, n=100_000, alpha=0.001, batch_size=20_000)
    for certificate, distance in zip(found, distances, strict=True):
        assert certificate.prediction == int(distance > 0)
        assert 0 < certificate.radius <= abs(distance)
        assert certificate.radius == pytest.approx(abs(distance), abs=0.015)


def test_the_radius_is_clopper_and_pearsons() -> None:
    network, images = at_distance(0.2, 0.4)
    for certificate in certify(network, images, sigma=SIGMA, n=500, alpha=0.01):
        k, n = certificate.votes, certificate.n
        low = beta.ppf(0.01, k, n - k + 1)
        assert n == 500
        assert certificate.radius == pytest.approx(SIGMA * norm.ppf(low), rel=1e-6)


def test_a_constant_network_is_certified_as_far_as_n_allows() -> None:
    network, images = at_distance(50.0)
    (certificate,) = certify(network, images, sigma=SIGMA, n=1000, alpha=0.001)
    assert certificate.votes == 1000
    assert certificate.radius == pytest.approx(SIGMA * norm.ppf(0.001 ** (1 / 1000)), rel=1e-6)


def test_on_the_border_nearly_all_is_abstained() -> None:
    """p = ½: a certificate is a mistake, of probability alpha at most."""
    network, images = at_distance(*[0.0] * 300)
    found = certify(network, images, sigma=SIGMA, n0=20, n=200, alpha=0.05)
    abstained = sum(certificate.abstained for certificate in found)
    assert 300 * 0.95 - 4 * math.sqrt(300 * 0.05 * 0.95) <= abstained
    assert abstained < 300
    assert all(certificate.radius == 0 for certificate in found if certificate.abstained)


@pytest.mark.parametrize(("distance", "low", "high"), [(0.0, 0.9, 1.0), (0.5, 0.0, 0.05)])
def test_the_share_of_abstentions_of_predict(distance: float, low: float, high: float) -> None:
    network, images = at_distance(*[distance] * 200)
    found = predict(network, images, sigma=SIGMA, n=100, alpha=0.05)
    assert low <= found.count(None) / 200 <= high
    if distance > 0:
        assert set(found) <= {None, 1}


def test_the_seed_decides_and_the_global_state_is_left_alone() -> None:
    network, images = at_distance(0.05, 0.1)
    state = torch.get_rng_state()
    first, again, other = (certify(network, images, sigma=SIGMA, n=300, seed=seed)
                           for seed in (0, 0, 1))
    assert first == again != other
    assert torch.equal(torch.get_rng_state(), state)


def test_batches_do_not_change_the_counts() -> None:
    network, images = at_distance(0.1)
    counts = [certify(network, images, sigma=SIGMA, n=320, n0=64, batch_size=size)[0].votes
              for size in (64, 320)]
    assert counts[0] == pytest.approx(counts[1], abs=40)


def test_certified_accuracy_counts() -> None:
    certificates = [Certificate(1, 0.5, 9, 10), Certificate(0, 0.9, 10, 10),
                    Certificate(None, 0.0, 5, 10), Certificate(1, 0.2, 9, 10)]
    assert certified_accuracy(certificates, [1, 1, 1, 1], 0.0) == (2, 4)
    assert certified_accuracy(certificates, [1, 0, 1, 1], 0.4) == (2, 4)


@pytest.mark.parametrize(("settings", "told"), [
    ({"sigma": 0.0}, "sigma, got 0.0"), ({"alpha": 0.0}, "alpha, got 0.0"),
    ({"alpha": 1.0}, "alpha, got 1.0"), ({"n": 0}, "n, got 0"), ({"n0": 0}, "n0, got 0"),
    ({"batch_size": 0}, "batch_size, got 0"),
])
def test_settings_that_are_none(settings: dict[str, float], told: str) -> None:
    network, images = at_distance(0.1)
    with pytest.raises(UserError, match=re.escape(told)):
        certify(network, images, **{"sigma": SIGMA, **settings})
