"""The numbers behind the detectors, against scikit-learn, scipy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KernelDensity as Estimator
from torch import Tensor, nn

from robench.defenses.bit_depth import BitDepth
from robench.defenses.median import Median
from robench.detectors import KernelDensity, Mahalanobis, SqueezeDifference
from robench.detectors.evaluation import detection
from robench.detectors.features import hidden, squared_distances
from robench.detectors.lid import lid_estimate
from robench.detectors.mahalanobis import Gaussians
from robench.detectors.weighting import Weighting

from .conftest import Watched


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_density_is_scikit_learns(watched: Watched) -> None:
    detector = KernelDensity.fit(watched.network, watched.images, watched.labels, bandwidth=1.5)
    with torch.no_grad():
        _, features = hidden(watched.network, watched.images)
        logits, tested = hidden(watched.network, watched.tests[:40])
    expected = [
        # one leaf: a tree of several stops early where the density is very low
        -Estimator(bandwidth=1.5, leaf_size=10_000)
        .fit(features[watched.labels == predicted].numpy()).score_samples(row[None].numpy())[0]
        for predicted, row in zip(logits.argmax(dim=1), tested, strict=True)
    ]
    np.testing.assert_allclose(detector.scores(watched.tests[:40]).numpy(), expected, rtol=1e-4)


def test_the_chosen_bandwidth_is_likelier_than_others(watched: Watched) -> None:
    some = slice(0, 500)
    chosen = KernelDensity.fit(watched.network, watched.images[some], watched.labels[some])
    with torch.no_grad():
        _, known = hidden(watched.network, watched.images[some])
        _, held_out = hidden(watched.network, watched.tests)

    def likelihood(bandwidth: float) -> float:
        return sum(
            float(Estimator(bandwidth=bandwidth).fit(known[watched.labels[some] == number].numpy())
                  .score(held_out[watched.truth == number].numpy())) for number in range(10)
        )

    best = likelihood(chosen.bandwidth)
    assert best > likelihood(chosen.bandwidth / 3)
    assert best > likelihood(chosen.bandwidth * 3)


def test_the_last_hidden_layer_is_the_input_of_the_last_linear_layer(watched: Watched) -> None:
    logits, features = hidden(watched.network, watched.tests)
    torch.testing.assert_close(features, watched.network[:-1](watched.tests))
    torch.testing.assert_close(logits, watched.network(watched.tests))


def test_the_distance_is_scipys(watched: Watched) -> None:
    features, labels = normal(300, 5) @ normal(5, 5, seed=1), torch.arange(300) % 3
    features += labels[:, None]
    centred = torch.cat([features[labels == c] - features[labels == c].mean(dim=0)
                         for c in range(3)])
    inverse = np.linalg.inv((centred.T @ centred / 300).numpy())
    found = Gaussians.fit(features, labels, 3)(features[:20])
    for row, distances in zip(features[:20].numpy(), found, strict=True):
        for c, distance in enumerate(distances):
            mean = features[labels == c].mean(dim=0).numpy()
            assert float(distance) == pytest.approx(mahalanobis(row, mean, inverse) ** 2, rel=1e-9)
    detector = Mahalanobis.fit(watched.network, watched.images, watched.labels)
    assert detector.scores(watched.tests[:3]).dtype == torch.float64


def test_features_of_a_convolution_are_averaged_over_positions(watched: Watched) -> None:
    detector = Mahalanobis.fit(watched.network, watched.images, watched.labels, layers=["2"])
    with torch.no_grad():
        maps = watched.network[:3](watched.tests[:9]).mean(dim=(2, 3))
    expected = detector.gaussians[0](maps).amin(dim=1)
    torch.testing.assert_close(detector.scores(watched.tests[:9]), expected)


def test_a_step_towards_the_class_makes_the_distance_smaller(watched: Watched) -> None:
    plain, prepared = (
        Mahalanobis.fit(watched.network, watched.images, watched.labels, magnitude=magnitude)
        for magnitude in (0.0, 0.002)
    )
    nearer = prepared.scores(watched.tests) < plain.scores(watched.tests)
    assert float(nearer.float().mean()) > 0.95


@pytest.mark.parametrize("dimension", [2, 5, 8])
def test_lid_is_the_dimension_of_a_uniform_ball(dimension: int) -> None:
    directions = normal(20_000, dimension)
    radii = torch.rand(20_000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    ball = directions / directions.norm(dim=1, keepdim=True) * radii ** (1 / dimension)
    centre = 0.05 * normal(40, dimension, seed=3)
    estimates = lid_estimate(centre, ball, k=100)
    assert float(estimates.mean()) == pytest.approx(dimension, rel=0.12)


def test_lid_is_its_formula_and_leaves_the_image_itself_out() -> None:
    references, features = normal(30, 4), normal(3, 4, seed=1)
    features[0] = references[7]
    for row, found in zip(features, lid_estimate(features, references, k=6), strict=True):
        near = np.sort(np.linalg.norm(references.numpy() - row.numpy(), axis=1))
        near = near[near > 1e-9][:6]
        assert float(found) == pytest.approx(-1 / np.mean(np.log(near / near[-1])), rel=1e-9)


def test_squared_distances_are_cdists_and_have_a_gradient_at_zero() -> None:
    one, other = normal(6, 9).requires_grad_(True), normal(11, 9, seed=1)
    found = squared_distances(one, other)
    torch.testing.assert_close(found, torch.cdist(one, other, compute_mode=
                                                  "donot_use_mm_for_euclid_dist") ** 2)
    (gradient,) = torch.autograd.grad(squared_distances(one, one.detach()).sum(), one)
    assert bool(torch.isfinite(gradient).all())


def test_the_squeezed_difference_is_the_largest(watched: Watched) -> None:
    squeezers = [BitDepth(2), Median(3)]
    scores = SqueezeDifference.fit(watched.network, watched.images, squeezers=squeezers).scores(
        watched.tests)
    with torch.no_grad():
        before = watched.network(watched.tests).softmax(dim=1)
        apart = [(watched.network(squeeze(watched.tests)).softmax(dim=1) - before).abs().sum(dim=1)
                 for squeeze in squeezers]
    torch.testing.assert_close(scores, torch.maximum(*apart))
    assert 0 <= float(scores.min()) <= float(scores.max()) <= 2
    identity = SqueezeDifference.fit(watched.network, watched.images, squeezers=[nn.Identity()])
    assert float(identity.scores(watched.tests).abs().max()) == 0.0


def test_the_weighting_is_a_logistic_regression() -> None:
    clean, wrong = normal(200, 3), normal(150, 3, seed=1) + torch.tensor([1.0, 0.0, -0.5])
    weighting = Weighting.fit(clean, wrong)
    table, truth = torch.cat([clean, wrong]), np.repeat([0, 1], [200, 150])
    scores = weighting(table).numpy()
    plain = LogisticRegression(class_weight="balanced", C=1e4).fit(table.numpy(), truth)
    expected = roc_auc_score(truth, plain.decision_function(table.numpy()))
    assert roc_auc_score(truth, scores) == pytest.approx(expected, abs=0.01)
    direction = (weighting.weights / weighting.scale).numpy()
    cosine = direction @ plain.coef_[0] / np.linalg.norm(direction) / np.linalg.norm(plain.coef_)
    assert cosine > 0.99


@pytest.mark.parametrize(("share", "alarms"), [(0.05, 5), (0.0, 0), (0.1, 10), (0.029, 2)])
def test_the_threshold_lets_so_many_clean_images_be_false_alarms(share, alarms) -> None:
    clean, wrong = normal(100), normal(80, seed=1) + 1.0
    found = detection(clean, wrong, false_positive_rate=share)
    assert found.false_alarms == alarms
    assert found.threshold == float(clean.sort(descending=True).values[alarms])
    assert found.detected == int((wrong > found.threshold).sum())
    assert found.true_positive_rate == found.detected / 80
    assert found.undetected == 80 - found.detected
    low, high = found.true_positive_interval
    assert low < found.true_positive_rate < high
    pairs = (wrong[:, None] > clean).double().mean()
    assert found.auroc == pytest.approx(float(pairs))


def test_equal_scores_are_no_detection() -> None:
    found = detection(torch.zeros(40), torch.zeros(30))
    assert (found.auroc, found.detected, found.false_alarms) == (0.5, 0, 0)
    nothing = detection(torch.zeros(40), torch.zeros(0))
    assert np.isnan(nothing.auroc)
    assert np.isnan(nothing.true_positive_rate)
