import numpy as np
import pytest
import torch
from scipy import stats

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
