import math

import numpy as np
import pytest
import torch

from robench.attacks.draws import Draws
from robench.attacks.losses import margin
from robench.attacks.pgd import PGD
from robench.attacks.spsa import SPSA

from ..peers import peer
from .closed_form import binary, exact_distances
from .networks import images_seen, whole_view


def _draws(count):
    names = [str(row) for row in range(count)]
    return Draws.keyed(names, seed=0, attack="spsa", device=torch.device("cpu"))


def _slope(attack, network, images, labels, *, rowwise):
    query, log = whole_view(network, images, labels, epsilon=0.1, rowwise=rowwise)
    return attack._slope(query, images, _draws(len(images))), log


def test_the_estimate_is_the_gradient_of_the_margin():
    """On a linear network exactly so, but for the other directions' share, 1/√samples each."""
    network, images, labels = binary(one_logit=False)
    slope, _ = _slope(SPSA(samples=1000), network, images, labels, rowwise=True)
    weights = network.weights.detach()
    true = (weights[labels] - weights[1 - labels]).reshape(images.shape)
    error = (slope - true).flatten(1).norm(dim=1) / true.flatten(1).norm(dim=1)
    assert float(error.max()) < 2 * math.sqrt(images[0].numel() / 1000)
    cosine = torch.cosine_similarity(slope.flatten(1), true.flatten(1))
    assert float(cosine.min()) > 0.98


@pytest.mark.parametrize("samples", [1, 5, 32, 70])
def test_one_candidate_at_a_time_gives_the_same_estimate_and_counts(cnn, right, samples):
    """As for victims whose rows depend on their mates."""
    images, labels = right[0][:10], right[1][:10]
    attack = SPSA(samples=samples)
    together, log = _slope(attack, cnn, images, labels, rowwise=True)
    apart, other = _slope(attack, cnn, images, labels, rowwise=False)
    assert torch.allclose(together, apart, rtol=1e-3, atol=1e-3)
    assert set(log.forwards.tolist()) == {2 * samples}
    assert set(other.forwards[~other.found].tolist()) == {2 * samples}


def test_every_direction_is_asked_on_both_sides(cnn, right):
    images, labels = right[0][:4], right[1][:4]
    with images_seen(cnn) as seen:
        _slope(SPSA(samples=3, delta=0.02), cnn, images, labels, rowwise=True)
    above, below = (batch[:12].reshape(4, 3, 1, 8, 8) for batch in seen)
    middle = images.numpy()[:, None]
    assert np.abs(np.abs(above - middle) - 0.02).max() < 1e-6
    assert np.abs(above + below - 2 * middle).max() < 1e-6
    signs = np.sign(above - middle).reshape(12, -1)
    assert len(np.unique(signs, axis=0)) == 12


def test_the_first_step_is_as_long_as_the_learning_rate():
    """Adam's first step has the estimate's signs (Kingma & Ba 2015, section 2.1)."""
    network, images, labels = binary(one_logit=False)
    query, _ = whole_view(network, images, labels, epsilon=0.5)
    attack = SPSA(steps=1, samples=8, learning_rate=0.03)
    moved = attack.perturb(query, images, labels, epsilon=0.5, random=_draws(len(images)))
    slope, _ = _slope(attack, network, images, labels, rowwise=True)
    expected = images - 0.03 * slope.sign()
    assert float((moved - expected).abs().max()) < 1e-5


def test_on_a_linear_network_it_breaks_what_can_be_broken():
    network, images, labels = binary(one_logit=False)
    exact = exact_distances(network, images, labels, "linf")
    epsilon = float(exact.median())
    result = SPSA(steps=40, samples=16)(network, images, labels, epsilons=[epsilon])[0]
    assert not bool((result.success & (exact >= epsilon)).any())
    assert bool(result.success[exact < 0.95 * epsilon].all())


def test_in_few_steps_it_breaks_most_of_what_pgd_does(cnn, right):
    spsa = SPSA(steps=10, samples=40, learning_rate=0.03)(cnn, *right, epsilons=[0.1])[0]
    pgd = PGD()(cnn, *right, epsilons=[0.1])[0]
    assert 10 < int(pgd.success.sum()) < len(pgd) - 5
    assert 0.6 * int(pgd.success.sum()) <= int(spsa.success.sum()) <= int(pgd.success.sum())


@pytest.mark.slow
def test_at_its_defaults_it_breaks_as_many_as_pgd(cnn, right):
    spsa = SPSA()(cnn, *right, epsilons=[0.1])[0]
    pgd = PGD()(cnn, *right, epsilons=[0.1])[0]
    # The margin may find more than the cross-entropy.
    assert int(spsa.success.sum()) >= int(pgd.success.sum())


def test_it_breaks_as_many_as_the_reference(cnn, right):
    torchattacks = peer("torchattacks")
    images, labels = right
    ours = SPSA(steps=8, samples=16)(cnn, images, labels, epsilons=[0.1])[0]
    torch.manual_seed(0)
    with torch.no_grad():
        found = torchattacks.SPSA(
            cnn, eps=0.1, nb_iter=8, nb_sample=16, max_batch_size=16
        )(images, labels)
        theirs = margin(cnn(found), labels) < 0
    assert 3 < int(theirs.sum()) < len(theirs) - 3
    assert abs(int(ours.success.sum()) - int(theirs.sum())) <= 0.08 * len(theirs)


def test_a_survivor_costs_two_forwards_a_sample_and_one_a_step(cnn, right):
    result = SPSA(steps=4, samples=40)(cnn, *right, epsilons=[0.06])[0]
    assert 0 < int(result.success.sum()) < len(result)
    assert set(result.forwards[~result.success].tolist()) == {4 * (2 * 40 + 1)}
    assert set(result.forwards[result.success].tolist()) <= {81, 162, 243, 324}
    assert set(result.backwards.tolist()) == {0}
