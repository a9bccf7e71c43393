import pytest
import torch

from robench.attacks.balls import distances
from robench.attacks.draws import Draws
from robench.attacks.fab import FAB, _around

from ..peers import peer
from .closed_form import between, binary, exact_distances, five_classes
from .minimum import TRAINED, network_and_images
from .networks import images_seen, rows_seen


class FixedFAB(FAB):
    """As AutoAttack uses it: inside a ball."""

    budget = "fixed"


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("task", [lambda: binary(one_logit=True), five_classes])
def test_on_a_linear_network_it_finds_the_exact_distance(task, norm, targeted):
    network, images, labels = task()
    exact = exact_distances(network, images, labels, norm)
    attack = FAB(norm=norm, targeted=targeted, steps=10)
    epsilons = between(exact)
    results = attack(network, images, labels, epsilons=[*epsilons, 9.0])
    for epsilon, result in zip(epsilons, results, strict=False):
        assert torch.equal(result.success, exact < epsilon)
    assert bool(results[-1].success.all())
    assert float((results[-1].distance.double() / exact).median()) == pytest.approx(1, abs=1e-4)
    assert float((results[-1].distance.double() / exact).max()) < 1.01


def test_in_l1_one_pixel_of_a_linear_network_does():
    network, images, labels = binary(one_logit=False)
    weights = network.weights.diff(dim=0)[0].detach()
    steep = float(weights.abs().max())
    with torch.no_grad():
        gap = network(images).diff(dim=1)[:, 0].abs()
    result = FAB(norm="l1", steps=10)(network, images, labels, epsilons=[9.0])[0]
    single = gap / steep < 0.4  # where that pixel does not meet the edge of the box
    assert int(single.sum()) > 5
    assert torch.allclose(result.distance[single], (gap / steep)[single], rtol=0.01, atol=1e-4)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("trained", TRAINED)
def test_the_distances_are_those_of_torchattacks(cnn, digits, norm, trained):
    torchattacks = peer("torchattacks")
    network, images, labels = network_and_images(trained, cnn, digits, 24)
    reference = torchattacks.FAB(network, norm=norm.capitalize(), eps=1e6, steps=15)
    theirs = distances(images, reference.attack_single_run(images, labels), norm)
    result = FAB(norm=norm, steps=15)(network, images, labels, epsilons=[99.0])[0]
    assert bool(result.success.all())
    assert float(result.distance.median()) <= 1.01 * float(theirs.median())
    assert float((result.distance <= 1.02 * theirs).float().mean()) >= 0.95


def test_what_it_costs(cnn, cnn_and_8):
    _, images, labels = cnn_and_8
    # The ranking, two for each step, three of the search, one of the harness.
    plain = FAB(steps=4)(cnn, images, labels, epsilons=[9.0])[0]
    assert set(plain.forwards.tolist()) == {1 + 2 * 4 + 3 + 1}
    assert set(plain.backwards.tolist()) == {4 * 9}
    targeted = FAB(steps=4, targeted=True, targets=2)(cnn, images, labels, epsilons=[9.0])[0]
    assert set(targeted.forwards.tolist()) == {1 + 2 * 2 * 4 + 3 + 1}
    assert set(targeted.backwards.tolist()) == {2 * 4}


def test_more_targets_and_more_restarts_are_never_worse(cnn, right):
    images, labels = right[0][:32], right[1][:32]
    nearer = 0
    for key in ("targets", "restarts"):
        one, three = (
            FAB(steps=5, targeted=True, **{"targets": 1, key: count})(
                cnn, images, labels, epsilons=[9.0])[0]
            for count in (1, 3)
        )
        assert bool((three.distance <= one.distance).all())
        nearer += int((three.distance < one.distance).sum())
    assert nearer > 0


def test_restarts_draw_and_nothing_else_does(cnn, cnn_and_8):
    _, images, labels = cnn_and_8
    for restarts in (1, 2):
        one, other = (
            FAB(steps=3, restarts=restarts)(cnn, images, labels, epsilons=[9.0], seed=seed)[0]
            for seed in (0, 1)
        )
        assert torch.equal(one.adversarial, other.adversarial) == (restarts == 1)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_a_random_start_has_its_distance(norm):
    images = torch.full((4, 1, 8, 8), 0.5)
    draws = Draws.keyed(list("abcd"), seed=0, attack="fab", device=images.device)
    radius = torch.tensor([0.0, 0.01, 0.1, 0.2])
    start = _around(images, radius, draws, norm)
    assert torch.allclose(distances(images, start, norm), radius, atol=1e-6)


def test_inside_a_ball_it_leaves_broken_images_alone(cnn, right):
    images, labels = right
    exact = FAB(steps=10)(cnn, images, labels, epsilons=[9.0])[0].distance
    epsilon = float(exact.quantile(0.8))
    with rows_seen(cnn) as seen:
        result = FixedFAB(steps=10)(cnn, images, labels, epsilons=[epsilon])[0]
    assert float(result.distance.max()) <= epsilon
    assert bool(result.success[exact < 0.98 * epsilon].all())
    assert set(result.backwards[~result.success].tolist()) == {90}
    assert bool((result.forwards == result.first_success)[result.success].all())
    with rows_seen(cnn) as whole:
        FAB(steps=10)(cnn, images, labels, epsilons=[epsilon])
    assert sum(seen) < 0.8 * sum(whole)


def test_after_a_break_it_goes_back_towards_the_image(cnn, cnn_and_8):
    _, images, labels = cnn_and_8
    with images_seen(cnn) as seen:
        FAB(steps=6, beta=0.9)(cnn, images, labels, epsilons=[9.0])
    # After the clean pass and the ranking: gradient at the iterate, then the next iterate.
    starts, iterates = seen[2::2], seen[3::2]
    back = 0
    for iterate, start in zip(iterates, starts[1:6], strict=False):
        for row in range(8):
            moved, image = iterate[row] - images[row].numpy(), images[row].numpy()
            if abs(start[row] - (image + 0.9 * moved)).max() < 1e-6:
                back += 1
            else:
                assert abs(start[row] - iterate[row]).max() < 1e-7
    assert back > 8
