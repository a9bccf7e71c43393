import numpy as np
import pytest
import torch
from scipy import optimize

from robench.attacks.fab import FAB
from robench.attacks.lbfgs import LBFGS

from .closed_form import binary, exact_distances
from .minimum import TRAINED, network_and_images
from .networks import images_seen


def _objective(network, image, target, const):
    def value_and_gradient(pixels):
        point = torch.tensor(pixels, dtype=torch.float32).reshape(image.shape).requires_grad_()
        loss = torch.nn.functional.cross_entropy(network(point[None]), target[None])
        value = (point - image).square().sum() + const * loss
        (gradient,) = torch.autograd.grad(value, point)
        return value.item(), gradient.double().numpy().ravel()

    return value_and_gradient


def test_a_run_minimises_as_scipys_l_bfgs_b_does(cnn, cnn_and_8):
    _, images, labels = cnn_and_8
    targets = (labels + 1) % 10
    with images_seen(cnn) as seen:
        LBFGS(binary_search_steps=1, initial_const=0.5, target="next", steps=60)(
            cnn, images, labels, epsilons=[9.0])
    for row in range(8):
        objective = _objective(cnn, images[row], targets[row], 0.5)
        exact = optimize.minimize(
            objective, images[row].numpy().ravel(), jac=True, method="L-BFGS-B",
            bounds=[(0, 1)] * 64,
        ).fun
        ours = min(objective(each[row].ravel())[0] for each in seen[1:-1] if row < len(each))
        start = objective(images[row].numpy().ravel())[0]
        assert ours - exact < 0.05 * (start - exact), row


@pytest.mark.parametrize("one_logit", [False, True])
def test_on_a_linear_network_it_comes_near_the_boundary(one_logit):
    network, images, labels = binary(one_logit=one_logit)
    exact = exact_distances(network, images, labels, "l2")
    result = LBFGS()(network, images, labels, epsilons=[9.0])[0]
    assert bool(result.success.all())
    ratio = result.distance.double() / exact
    assert float(ratio.min()) > 0.999
    assert float(ratio.median()) < 1.02


@pytest.mark.parametrize("trained", TRAINED)
def test_the_distances_are_near_those_of_fab(cnn, digits, trained):
    network, images, labels = network_and_images(trained, cnn, digits, 16)
    ours = LBFGS(binary_search_steps=7)(network, images, labels, epsilons=[9.0])[0]
    attack = FAB(norm="l2", steps=15, targeted=True, targets=2)
    best = attack(network, images, labels, epsilons=[9.0])[0]
    assert bool(ours.success.all())
    assert float(ours.distance.median()) <= 1.15 * float(best.distance.median())


def test_steps_bound_the_passes_of_a_run(cnn, cnn_and_8):
    _, images, labels = cnn_and_8
    result = LBFGS(steps=5, binary_search_steps=3)(cnn, images, labels, epsilons=[9.0])[0]
    assert int(result.backwards.max()) <= 15
    assert bool((result.forwards == result.backwards + 2).all())
    long = LBFGS(steps=200, binary_search_steps=3)(cnn, images, labels, epsilons=[9.0])[0]
    assert int(long.backwards.max()) < 600  # it has its own end
    assert len(set(long.backwards.tolist())) > 1


def test_iterates_stay_in_the_box_and_use_its_edge(cnn, cnn_and_8):
    _, images, labels = cnn_and_8
    with images_seen(cnn) as seen:
        LBFGS(steps=30, binary_search_steps=2, initial_const=10.0)(
            cnn, images, labels, epsilons=[9.0])
    iterates = np.concatenate(seen)
    assert iterates.min() >= 0
    assert iterates.max() <= 1
    assert (iterates == 0).any()
    assert (iterates == 1).any()


def test_it_steers_to_its_target(cnn, cnn_and_8):
    _, images, labels = cnn_and_8
    likeliest, following = (
        LBFGS(target=target, steps=30, binary_search_steps=4)(
            cnn, images, labels, epsilons=[9.0])[0]
        for target in ("likeliest", "next")
    )
    assert int((following.prediction == (labels + 1) % 10).sum()) > int(
        (likeliest.prediction == (labels + 1) % 10).sum())
    assert float(likeliest.distance.median()) < float(following.distance.median())
