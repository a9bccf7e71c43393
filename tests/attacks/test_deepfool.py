import pytest
import torch

from robench.attacks.balls import distances
from robench.attacks.deepfool import DeepFool

from ..peers import peer
from .closed_form import between, binary, exact_distances, five_classes
from .minimum import TRAINED, network_and_images
from .networks import load_digit_images, rows_seen

TASKS = [lambda: binary(one_logit=False), lambda: binary(one_logit=True), five_classes]


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("task", TASKS)
def test_on_a_linear_network_it_stops_just_behind_the_boundary(task, norm):
    network, images, labels = task()
    exact = exact_distances(network, images, labels, norm)
    for overshoot in (0.02, 0.001):
        found = DeepFool(norm=norm, overshoot=overshoot)(network, images, labels, epsilons=[9])[0]
        assert bool(found.success.all())
        beyond = found.distance.double() - (1 + overshoot) * exact
        # Images at less than the shortest step from the boundary are carried beyond it.
        assert float(beyond.abs()[exact > 2e-4].max()) < 2e-5
        assert float(beyond.abs().max()) < 2e-4


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_one_run_gives_the_curve(norm):
    network, images, labels = five_classes()
    exact = exact_distances(network, images, labels, norm)
    epsilons = between(exact)
    for result in DeepFool(norm=norm, overshoot=1e-4)(network, images, labels, epsilons=epsilons):
        assert torch.equal(result.success, exact < result.epsilon)


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("trained", TRAINED)
def test_the_distances_are_foolboxs(cnn, digits, norm, trained):
    foolbox = peer("foolbox")
    network, images, labels = network_and_images(trained, cnn, digits, 40)
    attack = {"l2": foolbox.attacks.L2DeepFoolAttack, "linf": foolbox.attacks.LinfDeepFoolAttack}
    theirs = distances(images, attack[norm]().run(
        foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu"), images,
        foolbox.criteria.Misclassification(labels),
    ), norm)
    ours = DeepFool(norm=norm)(network, images, labels, epsilons=[9.0])[0]
    assert bool(ours.success.all())
    ratio = ours.distance / theirs
    assert float(((ratio - 1).abs() < 0.01).float().mean()) >= 0.9
    assert float(ours.distance.median()) <= 1.01 * float(theirs.median())


def test_what_a_step_costs():
    network, images, labels = binary(one_logit=False)
    result = DeepFool()(network, images, labels, epsilons=[9.0])[0]
    far = exact_distances(network, images, labels, "l2") > 2e-4
    # The ranking, two looks there and back, and what the harness asks at the end.
    assert set(result.forwards[far].tolist()) == {4}
    assert set(result.backwards[far].tolist()) == {2}
    network, images, labels = five_classes()
    result = DeepFool(reach=None)(network, images, labels, epsilons=[9.0])[0]
    far = exact_distances(network, images, labels, "l2") > 2e-4
    assert set(result.forwards[far].tolist()) == {4}
    assert set(result.backwards[far].tolist()) == {4}


def test_only_candidates_are_looked_at():
    network, images, labels = five_classes()
    result = DeepFool(candidates=3, reach=None)(network, images, labels, epsilons=[9.0])[0]
    assert set(result.backwards.tolist()) == {2}
    assert bool(result.success.all())


@pytest.mark.parametrize(("reach", "numbers"), [(1.0, 1), (1.5, 2), (4.0, 3)])
def test_a_gap_beyond_reach_of_the_smallest_is_not_paid_for(reach, numbers):
    network, images, labels = five_classes()
    result = DeepFool(reach=reach)(network, images, labels, epsilons=[9.0])[0]
    logits = network(images).detach()
    gaps = logits.gather(1, labels[:, None]) - logits
    gaps = gaps.scatter(1, labels[:, None], torch.inf)
    expected = (gaps / reach <= gaps.amin(dim=1, keepdim=True)).sum(dim=1)
    far = exact_distances(network, images, labels, "l2") > 2e-4  # one step is enough for these
    assert result.backwards[far].tolist() == expected[far].tolist()
    assert len(set(expected[far].tolist())) >= numbers


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("trained", TRAINED)
def test_what_is_out_of_reach_would_not_have_been_the_nearest(cnn, norm, trained):
    network, images, labels = network_and_images(trained, cnn, load_digit_images(), 256)
    every, near = (DeepFool(norm=norm, reach=reach)(network, images, labels, epsilons=[9.0])[0]
                   for reach in (None, 10.0))
    assert torch.equal(near.adversarial, every.adversarial)
    assert torch.equal(near.forwards, every.forwards)
    assert float(near.backwards.sum()) < 0.75 * float(every.backwards.sum())


class NearestIsFlat(torch.nn.Module):
    """Class 1 is near behind the label, but no pixel changes its logit; class 2 is far."""

    def forward(self, images):
        first = images.flatten(1)[:, 0]
        level = torch.zeros_like(first)
        return torch.stack([level + 1.0, level + 0.99, 30 * first - 20.0], dim=1)


def test_where_no_slope_is_in_reach_the_others_are_looked_at():
    images, labels = torch.full((3, 1, 2, 2), 0.1), torch.zeros(3).long()
    result = DeepFool()(NearestIsFlat(), images, labels, epsilons=[9.0])[0]
    assert result.prediction.tolist() == [2] * 3
    assert set(result.backwards.tolist()) == {1 + 2}
    torch.testing.assert_close(result.distance, torch.full((3,), 0.6 * 1.02), rtol=1e-3, atol=0)


def test_broken_images_leave_the_batch(cnn, right):
    images, labels = right
    with rows_seen(cnn) as seen:
        result = DeepFool()(cnn, images, labels, epsilons=[9.0])[0]
    assert bool(result.success.all())
    tiles = -(-len(images) // 32)
    assert sum(seen) < 0.85 * int(result.forwards.max()) * tiles * 32
    assert len(set(result.first_success.tolist())) > 3


def test_an_image_stops_at_the_first_iterate_that_breaks_it(cnn, right):
    result = DeepFool()(cnn, *right, epsilons=[9.0])[0]
    # One more forward that draws up the gradient's graph, at most, and the harness's.
    assert bool((result.forwards - result.first_success <= 2).all())


def test_a_bound_on_steps(cnn, right):
    one, four = (DeepFool(steps=steps, reach=None)(cnn, *right, epsilons=[9.0])[0]
                 for steps in (1, 4))
    assert set(one.backwards.tolist()) == {9}
    assert int(four.backwards.max()) == 36
    assert int(one.success.sum()) < int(four.success.sum()) < len(four)
