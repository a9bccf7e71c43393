"""PGD that evades a detector: stronger against it than PGD that does not know it."""

from __future__ import annotations

import pytest
import torch

from robench.attacks.balls import distances
from robench.defenses.backward import StraightThrough
from robench.defenses.bit_depth import BitDepth
from robench.detectors import EvadingPGD, KernelDensity, Mahalanobis, SqueezeDifference, evaluate

from .conftest import Watched

EPSILON = 0.25


@pytest.fixture(scope="module")
def detector(watched: Watched) -> Mahalanobis:
    return Mahalanobis.fit(watched.network, watched.images, watched.labels)


@pytest.mark.parametrize("fit", [
    lambda w: Mahalanobis.fit(w.network, w.images, w.labels),
    pytest.param(
        lambda w: Mahalanobis.fit(w.network, w.images, w.labels, adversarial=w.held_out_strong),
        marks=pytest.mark.slow,
    ),
    lambda w: KernelDensity.fit(w.network, w.images, w.labels, bandwidth=2.0),
])
def test_it_passes_where_plain_pgd_is_found(fit, watched: Watched) -> None:
    detector = fit(watched)
    images, truth = watched.tests[:80], watched.truth[:80]
    evading = EvadingPGD(detector, steps=40)(images, truth, epsilon=EPSILON)
    known = evaluate(detector, images, truth, watched.strong[:80])
    unknown = evaluate(detector, images, truth, evading)
    assert unknown.auroc < known.auroc - 0.1
    assert unknown.undetected > 10
    assert unknown.detected < known.detected


def test_a_larger_weight_evades_more_and_breaks_less(watched, detector) -> None:
    images, truth = watched.tests[:80], watched.truth[:80]
    found = [
        evaluate(detector, images, truth,
                 EvadingPGD(detector, steps=30, weight=weight)(images, truth, epsilon=0.15))
        for weight in (0.0, 1.0, 30.0)
    ]
    broken = [each.adversarial for each in found]
    assert broken == sorted(broken, reverse=True)
    assert broken[0] > broken[2]
    assert found[0].auroc > found[1].auroc


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_it_stays_in_the_ball_and_the_box(norm, watched: Watched, detector: Mahalanobis) -> None:
    images, truth = watched.tests[:20], watched.truth[:20]
    epsilon = 0.1 if norm == "linf" else 1.0
    found = EvadingPGD(detector, steps=8, norm=norm)(images, truth, epsilon=epsilon)
    assert found.dtype == torch.float32
    assert float(distances(images.double(), found.double(), norm).max()) <= epsilon
    assert float(found.min()) >= 0.0
    assert float(found.max()) <= 1.0
    assert float(distances(images, found, norm).min()) > 0.0


def test_of_the_images_that_break_the_least_suspicious_is_kept(watched, detector) -> None:
    """More steps never make a broken image more suspicious."""
    images, truth = watched.tests[:30], watched.truth[:30]
    few, many = (EvadingPGD(detector, steps=steps, step_size=0.02, random_start=False)(
        images, truth, epsilon=EPSILON) for steps in (15, 45))
    broken = [watched.network(found).argmax(dim=1) != truth for found in (few, many)]
    assert bool((broken[1] | ~broken[0]).all())
    assert int(broken[0].sum()) > 5
    scores = [detector.scores(found)[broken[0]] for found in (few, many)]
    assert bool((scores[1] <= scores[0] + 1e-6).all())
    assert bool((scores[1] < scores[0]).any())


def test_the_seed_decides_and_each_image_has_its_own_draw(watched, detector) -> None:
    images, truth = watched.tests[:6], watched.truth[:6]
    attack = EvadingPGD(detector, steps=1)
    first, other = (attack(images, truth, epsilon=0.1, seed=seed) for seed in (0, 1))
    assert torch.equal(first, attack(images, truth, epsilon=0.1))
    assert not torch.equal(first, other)
    plain = EvadingPGD(detector, steps=3, weight=0.0)  # the scores' scale is the batch's
    forward, turned = (plain(images[order], truth[order], epsilon=0.1)
                       for order in (torch.arange(6), torch.arange(5, -1, -1)))
    torch.testing.assert_close(forward, turned.flip(0))


def test_it_goes_through_rounding(watched: Watched) -> None:
    detector = SqueezeDifference.fit(
        watched.network, watched.images, squeezers=[StraightThrough(BitDepth(3))])
    images, truth = watched.tests[:60], watched.truth[:60]
    evading = EvadingPGD(detector, steps=30)(images, truth, epsilon=EPSILON)
    known = evaluate(detector, images, truth, watched.nearby[:60])
    assert evaluate(detector, images, truth, evading).auroc < known.auroc - 0.2


def test_everything_is_as_before(watched, detector) -> None:
    modes = [module.training for module in detector.modules()]
    gradients = [weight.grad for weight in watched.network.parameters()]
    EvadingPGD(detector, steps=2)(watched.tests[:3], watched.truth[:3], epsilon=0.1)
    assert [module.training for module in detector.modules()] == modes
    assert all(weight.requires_grad for weight in watched.network.parameters())
    after = [weight.grad for weight in watched.network.parameters()]
    assert all(one is other for one, other in zip(gradients, after, strict=True))


@pytest.mark.parametrize(("settings", "told"), [
    ({"steps": 0}, "steps"), ({"step_size": -1.0}, "step_size"), ({"norm": "l0"}, "norm"),
    ({"weight": -1.0}, "weight"),
])
def test_settings_that_are_none(settings, told, detector) -> None:
    with pytest.raises(ValueError, match=told):
        EvadingPGD(detector, **settings)


def test_images_that_are_none(watched, detector) -> None:
    attack = EvadingPGD(detector, steps=1)
    with pytest.raises(ValueError, match="images"):
        attack(watched.tests[:2] * 2, watched.truth[:2], epsilon=0.1)
    with pytest.raises(ValueError, match="labels"):
        attack(watched.tests[:2], watched.truth[:3], epsilon=0.1)
    with pytest.raises(ValueError, match="epsilon"):
        attack(watched.tests[:2], watched.truth[:2], epsilon=-0.1)
