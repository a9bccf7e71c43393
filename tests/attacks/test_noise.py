import numpy as np
import pytest
import torch
from scipy import stats

from robench.attacks.draws import Draws
from robench.attacks.noise import Noise
from robench.victim import Victim

from .closed_form import binary
from .networks import images_seen


@pytest.mark.parametrize("draws", [1, 4])
def test_each_draw_is_one_forward_and_no_backward(cnn, right, draws):
    result = Noise(draws=draws)(cnn, *right, epsilons=[0.1])[0]
    assert set(result.forwards[~result.success].tolist()) == {draws}
    assert set(result.backwards.tolist()) == {0}
    assert bool((result.forwards[result.success] <= draws).all())
    assert not bool(result.gradient_dead.any())


def test_linf_noise_is_uniform_in_plus_minus_epsilon():
    network, images, labels = binary(one_logit=False)
    with images_seen(network) as seen:
        Noise()(network, images, labels, epsilons=[0.2])
    shown = np.concatenate(seen[-2:])[: len(images)]
    offset = (shown - images.numpy()).ravel() / 0.2
    assert stats.kstest(offset, stats.uniform(-1, 2).cdf).pvalue > 0.01


def test_l2_noise_is_as_long_as_epsilon_in_any_direction():
    network, images, labels = binary(one_logit=False)
    with images_seen(network) as seen:
        Noise(norm="l2")(network, images, labels, epsilons=[0.3])
    shown = np.concatenate(seen[-2:])[: len(images)]
    offset = (shown - images.numpy()).reshape(len(images), -1)
    assert np.linalg.norm(offset, axis=1) == pytest.approx(0.3, abs=1e-5)
    assert stats.kstest(offset.ravel() / 0.3 * 4, "norm").pvalue > 0.01


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.01), ("l2", 0.01), ("l2", 0.3)])
def test_every_draw_is_judged(norm, epsilon):
    """Also a draw that rounding puts out of the ball by a hair."""
    network, images, labels = binary(one_logit=False)
    whole = Victim(network, rowwise=False)  # every pass is on the whole batch
    with images_seen(network) as seen:
        result = Noise(norm=norm, draws=30)(whole, images, labels, epsilons=[epsilon])[0]
    with torch.no_grad():
        gaps = torch.stack([network(torch.from_numpy(shown)) for shown in seen[1:31]])
    gaps = gaps[..., 1] - gaps[..., 0]
    nearest = torch.where(labels == 0, -gaps, gaps).amin(dim=0)
    standing = ~result.success
    assert int(standing.sum()) > 0
    assert torch.allclose(result.margin[standing], nearest[standing], atol=1e-5)


def test_more_draws_break_more(cnn, right):
    one = Noise(draws=1)(cnn, *right, epsilons=[0.3])[0]
    many = Noise(draws=20)(cnn, *right, epsilons=[0.3])[0]
    assert bool((many.success | ~one.success).all())
    assert int(many.success.sum()) > int(one.success.sum())


def _shown(images, *, epsilon, **settings):
    """The draw itself, before the cut with the box; float64 N×C×H×W offsets."""
    names = [str(row) for row in range(len(images))]
    draws = Draws.keyed(names, seed=0, attack="noise", device=images.device)
    attack = Noise(**settings)
    drawn = attack.perturb(None, images, torch.zeros(len(images)), epsilon=epsilon, random=draws)
    return (drawn.double() - images.double()).numpy()


GREY = torch.full((40, 3, 6, 6), 0.5)
RAMP = torch.linspace(0.1, 0.9, 40 * 3 * 36).reshape(40, 3, 6, 6)


@pytest.mark.parametrize("kind", ["uniform", "gaussian", "speckle", "salt-and-pepper"])
@pytest.mark.parametrize(("norm", "epsilon", "order"), [("l2", 0.9, 2), ("l1", 4.0, 1)])
def test_in_l2_and_l1_every_kind_is_as_long_as_epsilon(kind, norm, epsilon, order):
    offset = _shown(RAMP, epsilon=epsilon, norm=norm, kind=kind).reshape(40, -1)
    length = np.linalg.norm(offset, ord=order, axis=1)
    assert length == pytest.approx(epsilon, rel=1e-5)


def test_uniform_in_l1_is_laplace_noise():
    offset = _shown(GREY, epsilon=4.0, norm="l1")
    assert stats.kstest(offset.ravel() * 108 / 4.0, "laplace").pvalue > 0.01


def test_linf_gaussian_has_the_deviation_epsilon_before_the_cut():
    offset = _shown(GREY, epsilon=0.1, kind="gaussian").ravel() / 0.1
    assert np.abs(offset).max() == pytest.approx(1.0, abs=1e-5)
    inside = offset[np.abs(offset) < 0.999]
    assert len(inside) / len(offset) == pytest.approx(0.683, abs=0.03)
    assert stats.kstest(inside, stats.truncnorm(-1, 1).cdf).pvalue > 0.01


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_speckle_is_in_proportion_to_the_pixel(norm):
    gaussian = _shown(RAMP, epsilon=0.05, norm=norm, kind="gaussian")
    speckle = _shown(RAMP, epsilon=0.05, norm=norm, kind="speckle")
    assert np.array_equal(np.sign(gaussian), np.sign(speckle))
    if norm == "linf":
        inside = np.abs(gaussian) < 0.0499
        expected = gaussian * RAMP.double().numpy()
        assert np.abs(speckle - expected)[inside].max() < 1e-6
    else:
        ratio = speckle / gaussian / RAMP.double().numpy()
        spread = ratio.reshape(40, -1).std(axis=1) / ratio.reshape(40, -1).mean(axis=1)
        assert spread.max() < 1e-2
    assert not _shown(torch.zeros(2, 1, 4, 4), epsilon=0.1, norm=norm, kind="speckle").any()


def test_linf_salt_and_pepper_moves_half_of_the_places_by_epsilon():
    offset = _shown(GREY, epsilon=0.1, kind="salt-and-pepper")
    assert (offset == offset[:, :1]).all(), "all channels together"
    values = offset[:, 0].ravel()
    for value, share in ((-0.1, 0.25), (0.0, 0.5), (0.1, 0.25)):
        assert np.isclose(values, value, atol=1e-6).mean() == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize(("norm", "epsilon", "places"), [("l1", 5.0, 10 / 3), ("l2", 2.0, 16 / 3)])
def test_salt_and_pepper_turns_whole_places_white_or_black(norm, epsilon, places):
    """A place of a grey image costs 3 · 0.5, or 3 · 0.25 of ε²."""
    changed = GREY.double().numpy() + _shown(GREY, epsilon=epsilon, norm=norm,
                                             kind="salt-and-pepper")
    whole = (np.isclose(changed, 0, atol=1e-6) | np.isclose(changed, 1, atol=1e-6)).all(axis=1)
    touched = ~np.isclose(changed, 0.5, atol=1e-6).all(axis=1)
    assert set(whole.sum(axis=(1, 2)).tolist()) == {int(places)}
    assert set(touched.sum(axis=(1, 2)).tolist()) == {int(places) + 1}
    white = np.isclose(changed[:, 0][whole], 1).mean()
    assert 0.3 < white < 0.7
    assert len({tuple(row.ravel().tolist()) for row in touched}) > 30


def test_salt_and_pepper_on_a_large_budget_changes_every_place():
    offset = _shown(RAMP, epsilon=1000.0, norm="l1", kind="salt-and-pepper")
    changed = offset + RAMP.double().numpy()
    assert (np.isclose(changed, 0, atol=1e-6) | np.isclose(changed, 1, atol=1e-6)).all()


@pytest.mark.parametrize("kind", ["gaussian", "speckle", "salt-and-pepper"])
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_no_kind_makes_images_depend_on_each_other(cnn_and_36, kind, norm):
    cnn, images, labels = cnn_and_36
    attack = Noise(norm=norm, kind=kind, draws=2)
    epsilon = {"linf": 0.3, "l2": 2.0, "l1": 12.0}[norm]
    whole = attack(cnn, images, labels, epsilons=[epsilon])[0]
    assert int(whole.success.sum()) > 0
    rows = torch.tensor([30, 2, 17, 8, 35])
    part = attack(cnn, images[rows], labels[rows], epsilons=[epsilon])[0]
    for key in ("adversarial", "success", "forwards", "margin"):
        assert torch.equal(getattr(whole, key)[rows], getattr(part, key)), key


@pytest.mark.parametrize("kind", ["uniform", "gaussian", "speckle", "salt-and-pepper"])
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_every_draw_of_a_kind_counts_though_it_is_rounded(cnn, right, kind, norm):
    """In L1 on many pixels, the roundings add up to more than one."""
    images = right[0].repeat(1, 1, 12, 12)[:4]
    network = torch.nn.Sequential(torch.nn.AvgPool2d(12), cnn)
    labels = network(images).argmax(dim=1)
    seen = []
    handle = network.register_forward_hook(lambda _, __, logits: seen.append(logits.detach()[:4]))
    result = Noise(norm=norm, kind=kind, draws=6)(network, images, labels, epsilons=[0.4])[0]
    handle.remove()
    drawn = torch.stack(seen[1:7])
    truth = drawn.gather(2, labels.expand(6, -1)[..., None])[..., 0]
    others = drawn.scatter(2, labels.expand(6, -1)[..., None], float("-inf")).amax(dim=2)
    standing = ~result.success
    lowest = (truth - others).amin(dim=0)
    assert torch.allclose(result.margin[standing], lowest[standing], atol=1e-4)
