import numpy as np
import pytest
import torch
from scipy import stats

from robench.attacks.balls import distances
from robench.attacks.draws import Draws
from robench.attacks.fgsm import FGSM
from robench.attacks.pgd import BIM, PGD

from .closed_form import between, binary, exact_distances, five_classes
from .networks import images_seen, last_iterate, rows_seen, whole_view

EPSILONS = [0.02, 0.1, 0.3]


def _foolbox(cnn, images, labels, *, epsilon, step_size):
    foolbox = pytest.importorskip("foolbox")
    network = foolbox.PyTorchModel(cnn, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.LinfPGD(abs_stepsize=step_size, steps=40, random_start=False)
    return attack.run(network, images, labels, epsilon=epsilon)


def _torchattacks(cnn, images, labels, *, epsilon, step_size):
    torchattacks = pytest.importorskip("torchattacks")
    return torchattacks.PGD(
        cnn, eps=epsilon, alpha=step_size, steps=40, random_start=False
    )(images, labels)


@pytest.mark.parametrize("reference", [_foolbox, _torchattacks])
@pytest.mark.parametrize("epsilon", EPSILONS)
def test_every_iterate_is_the_references(cnn, right, reference, epsilon):
    images, labels = right
    with images_seen(cnn) as theirs:
        last = reference(cnn, images, labels, epsilon=epsilon, step_size=2.5 * epsilon / 40)
    theirs.append(last.numpy())
    with images_seen(cnn) as ours:
        ours.append(last_iterate(BIM(), cnn, images, labels, epsilon).numpy())
    assert len(ours) == len(theirs) == 41
    for step, (native, other) in enumerate(zip(ours, theirs, strict=True)):
        assert np.abs(native - other).max() <= 1e-6, step


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_the_harness_keeps_an_iterate_of_that_run(cnn, right, epsilon):
    """The first that breaks the image, else the one of the smallest margin."""
    images, labels = right
    result = BIM()(cnn, images, labels, epsilons=[epsilon])[0]
    with images_seen(cnn) as iterates:
        iterates.append(last_iterate(BIM(), cnn, images, labels, epsilon).numpy())
    with torch.no_grad():
        logits = torch.stack([cnn(torch.from_numpy(iterate)) for iterate in iterates])
    truth = logits.gather(2, labels.expand(41, -1)[..., None])[..., 0]
    others = logits.scatter(2, labels.expand(41, -1)[..., None], float("-inf")).amax(dim=2)
    margins = (truth - others).numpy()
    broken = margins < 0
    assert np.array_equal(result.success.numpy(), broken.any(axis=0))
    chosen = np.where(broken.any(axis=0), broken.argmax(axis=0), margins.argmin(axis=0))
    kept = np.stack(iterates)[chosen, np.arange(len(images))]
    assert np.abs(kept - result.adversarial.numpy()).max() <= 1e-6
    first = np.where(broken.any(axis=0), broken.argmax(axis=0) + 1, -1)
    assert result.first_success.tolist() == first.tolist()


def test_l2_is_foolboxs_away_from_the_edge_of_the_box(cnn, right):
    """At the edge the orders of cut and projection differ, see the card of art/pgd."""
    foolbox = pytest.importorskip("foolbox")
    images, labels = 0.3 + 0.4 * right[0], right[1]
    network = foolbox.PyTorchModel(cnn, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.L2PGD(abs_stepsize=0.05, steps=10, random_start=False)
    reference = attack.run(network, images, labels, epsilon=0.3)
    native = last_iterate(BIM(steps=10, step_size=0.05, norm="l2"), cnn, images, labels, 0.3)
    apart = (native - reference).flatten(1).abs().amax(dim=1)
    assert float((apart <= 1e-5).float().mean()) >= 0.95  # rounding may switch a ReLU
    assert float(distances(images, native, "l2").max()) == pytest.approx(0.3, abs=1e-5)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("one_logit", [False, True])
def test_of_two_classes_exactly_the_near_images_break(norm, one_logit):
    network, images, labels = binary(one_logit=one_logit)
    exact = exact_distances(network, images, labels, norm)
    for result in BIM(norm=norm)(network, images, labels, epsilons=between(exact), ladder=False):
        assert torch.equal(result.success, exact < result.epsilon)
        assert 0 < int(result.success.sum()) < len(images)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_from_a_random_start_it_gets_there_too(norm):
    """In an L2 ball the angle to the best direction shrinks by 6 % a step, not to nothing."""
    network, images, labels = binary(one_logit=False)
    exact = exact_distances(network, images, labels, norm)
    for result in PGD(norm=norm)(network, images, labels, epsilons=between(exact), ladder=False):
        assert not bool((result.success & (exact >= result.epsilon)).any())
        reach = result.epsilon if norm == "linf" else 0.98 * result.epsilon
        assert bool(result.success[exact < reach].all())


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_of_five_classes_exactly_the_near_images_break(norm):
    network, images, labels = five_classes()
    exact = exact_distances(network, images, labels, norm)
    for result in BIM(norm=norm)(network, images, labels, epsilons=between(exact), ladder=False):
        assert torch.equal(result.success, exact < result.epsilon)
        assert 0 < int(result.success.sum()) < len(images)


def test_a_survivor_costs_forty_one_forwards_and_forty_backwards(cnn, right):
    images, labels = right
    for attack in (BIM(), PGD()):
        result = attack(cnn, images, labels, epsilons=[0.05])[0]
        assert int(result.success.sum()) > 0
        assert set(result.forwards[~result.success].tolist()) == {41}
        assert set(result.backwards[~result.success].tolist()) == {40}


def test_a_broken_image_stops_counting(cnn, right):
    images, labels = right
    result = BIM()(cnn, images, labels, epsilons=[0.2])[0]
    assert len(set(result.first_success[result.success].tolist())) > 5
    assert torch.equal(result.forwards[result.success], result.first_success[result.success])
    assert bool((result.backwards[result.success] <= result.forwards[result.success]).all())


def test_broken_images_leave_the_batch(cnn, right):
    images, labels = right
    with rows_seen(cnn) as seen:
        result = BIM()(cnn, images, labels, epsilons=[0.3])[0]
    assert int(result.success.sum()) > 50
    tiles = -(-len(images) // 32)
    assert sum(seen) < 0.75 * 42 * tiles * 32
    assert set(seen) == {32}


def test_bim_and_pgd_without_random_start_are_one(cnn, right):
    for norm, epsilon in (("linf", 0.1), ("l2", 0.6)):
        one = BIM(steps=7, norm=norm)(cnn, *right, epsilons=[epsilon])[0]
        other = PGD(steps=7, norm=norm, random_start=False)(cnn, *right, epsilons=[epsilon])[0]
        assert torch.equal(one.adversarial, other.adversarial)
        assert torch.equal(one.forwards, other.forwards)


def test_one_full_step_is_fgsm(cnn, right):
    one = BIM(steps=1, step_size=0.1)(cnn, *right, epsilons=[0.1])[0]
    other = FGSM()(cnn, *right, epsilons=[0.1])[0]
    assert torch.equal(one.adversarial, other.adversarial)


@pytest.mark.parametrize(("step_size", "expected"), [(None, 2.5 * 0.1 / 8), (0.01, 0.01)])
def test_the_size_of_a_step(cnn, right, step_size, expected):
    images, labels = 0.3 + 0.4 * right[0], right[1]
    query, _ = whole_view(cnn, images, labels, epsilon=0.1)
    with images_seen(cnn) as iterates:
        BIM(steps=8, step_size=step_size).perturb(
            query, images, labels, epsilon=0.1, random=None
        )
    moved = np.abs(iterates[1] - iterates[0])
    assert np.abs(moved[moved > 0] - expected).max() < 1e-7


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_random_start_is_uniform_in_the_ball(cnn, norm):
    images = torch.full((200, 1, 8, 8), 0.5)
    labels = torch.zeros(200).long()
    names = [str(row) for row in range(200)]
    draws = Draws.keyed(names, seed=0, attack="pgd", device=images.device)
    query, _ = whole_view(cnn, images, labels, epsilon=0.2, norm=norm)
    with images_seen(cnn) as iterates:
        PGD(steps=1, norm=norm).perturb(query, images, labels, epsilon=0.2, random=draws)
    offset = (iterates[0] - 0.5).reshape(200, -1) / 0.2
    assert np.abs(offset.mean(axis=0)).max() < 0.2
    if norm == "linf":
        assert stats.kstest(offset.ravel(), stats.uniform(-1, 2).cdf).pvalue > 0.01
    else:
        volume = np.linalg.norm(offset, axis=1) ** 64
        assert stats.kstest(volume, "uniform").pvalue > 0.01
