import pytest
import torch

from robench.attacks.balls import box_ball, distances, project
from robench.attacks.base import Attack
from robench.attacks.fgsm import FGSM
from robench.attacks.pgd import BIM, PGD
from robench.victim import Victim

from .networks import Linear
from .stand_in_attacks import Guesses, Loses, OneStep, Overshoots, Shrinking, Sparse

EPSILONS = [0.05, 0.1, 0.2]


def test_an_attack_of_five_lines_is_watched_and_counted_like_a_native_one(cnn, right):
    theirs = OneStep()(cnn, *right, epsilons=EPSILONS)
    ours = FGSM()(cnn, *right, epsilons=EPSILONS)
    for one, other in zip(theirs, ours, strict=True):
        assert torch.equal(one.success, other.success)
        assert torch.equal(one.adversarial, other.adversarial)
        assert torch.equal(one.forwards, other.forwards)
        assert torch.equal(one.backwards, other.backwards)
        assert torch.equal(one.first_success, other.first_success)


def test_it_works_where_the_caller_has_switched_gradients_off(cnn, right):
    with torch.no_grad():
        result = OneStep()(cnn, *right, epsilons=[0.1])[0]
    assert torch.equal(result.success, FGSM()(cnn, *right, epsilons=[0.1])[0].success)


def test_a_success_that_is_lost_again_is_credited(cnn, right):
    lost = Loses()(cnn, *right, epsilons=[0.1])[0]
    kept = OneStep()(cnn, *right, epsilons=[0.1])[0]
    assert int(kept.success.sum()) > 0
    assert torch.equal(lost.success, kept.success)
    won = kept.success
    assert torch.equal(lost.adversarial[won], kept.adversarial[won])
    assert set(lost.first_success[won].tolist()) == {2}


def test_what_leaves_the_ball_is_moved_into_it(cnn, right):
    images, labels = right
    far = Overshoots()(cnn, images, labels, epsilons=EPSILONS)
    near = FGSM()(cnn, images, labels, epsilons=EPSILONS)
    for one, other in zip(far, near, strict=True):
        assert torch.equal(one.success, other.success)
        assert bool((one.distance <= one.epsilon).all())


def test_a_success_that_only_rounding_allowed_is_not_kept():
    """Nor is what the attack found afterwards forgotten."""

    class OutByRounding(Attack):
        def perturb(self, victim, images, labels, *, epsilon, random):
            victim.logits(torch.nextafter(box_ball(images, epsilon)[1], torch.tensor(2.0)))
            return images - epsilon

    images, labels = torch.full((1, 1, 1, 1), 0.7), torch.zeros(1).long()
    inside = box_ball(images, 0.1)[1]
    edge = float(inside.double() + torch.nextafter(inside, torch.tensor(2.0)).double()) / 2
    up = Linear(torch.tensor([[0.0], [1e4]]).double(), torch.tensor([edge * 1e4, 0.0]).double())
    network = torch.nn.Sequential(ToDouble(), up)
    outside = torch.nextafter(inside, torch.tensor(2.0))
    assert network(outside).argmax(dim=1).tolist() == [1]
    result = OutByRounding()(network, images, labels, epsilons=[0.1])[0]
    assert result.success.tolist() == [False]
    assert float(result.adversarial.double() - images.double()) <= 0.1
    down = Linear(torch.tensor([[0.0], [-1.0]]).double(), torch.tensor([0.0, 0.65]).double())
    both = torch.nn.Sequential(ToDouble(), EitherBreaks(up, down))
    result = OutByRounding()(both, images, labels, epsilons=[0.1])[0]
    assert result.success.tolist() == [True]
    assert float(result.adversarial) == pytest.approx(0.6)


class ToDouble(torch.nn.Module):
    def forward(self, images):
        return images.double()


class EitherBreaks(torch.nn.Module):
    """Class 1 wherever one of two networks says so."""

    def __init__(self, *networks):
        super().__init__()
        self.networks = torch.nn.ModuleList(networks)

    def forward(self, images):
        gaps = [network(images).diff(dim=1) for network in self.networks]
        return torch.cat([torch.zeros_like(gaps[0]), torch.maximum(*gaps)], dim=1)


def test_a_minimum_norm_attack_runs_once_and_is_read_off_at_every_epsilon(cnn, right):
    images, labels = right
    attack = Shrinking()
    results = attack(cnn, images, labels, epsilons=[0.3, 0.0, 0.06, 0.1])
    assert attack.runs == 1
    assert [result.epsilon for result in results] == [0.3, 0.0, 0.06, 0.1]
    largest = results[0]
    assert set(largest.forwards.tolist()) == {22}
    for result in results:
        assert torch.equal(result.success, largest.success & (largest.distance <= result.epsilon))
        assert torch.equal(result.adversarial[~result.success], images[~result.success])
        assert torch.equal(result.prediction != labels, result.success)
        assert torch.equal(result.distance, distances(images, result.adversarial, "linf"))
        assert torch.equal(result.forwards, largest.forwards)
        assert torch.equal(result.first_success > 0, result.success)
        with torch.no_grad():
            assert torch.equal(cnn(result.adversarial).argmax(dim=1), result.prediction)
    found = [int(result.success.sum()) for result in results]
    assert found[1] == 0 < found[2] < found[3] < found[0]


def test_a_minimum_norm_attack_keeps_the_nearest_that_breaks(cnn, right):
    images, labels = right[0][:20], right[1][:20]
    result = Shrinking()(cnn, images, labels, epsilons=[0.4])[0]
    with torch.no_grad():
        direction = (FGSM()(cnn, images, labels, epsilons=[1e-3], ladder=False)[0].adversarial
                     - images).sign()
        radii = torch.linspace(0.4, 0.02, 20)
        breaks = torch.stack([
            cnn((images + radius * direction).clamp(0, 1)).argmax(dim=1) != labels
            for radius in radii
        ])
    nearest = torch.where(breaks, radii[:, None], torch.inf).amin(dim=0)
    agree = (nearest - result.distance).abs() < 0.021
    assert bool((agree | ~result.success).all())
    assert torch.equal(result.success, torch.isfinite(nearest))


def test_an_l0_attack_is_held_to_its_number_of_pixels(cnn, right):
    for result in Sparse()(cnn, *right, epsilons=[1.0, 4.0, 8.0], ladder=False):
        places = torch.ne(result.adversarial, right[0]).any(dim=1).flatten(1).sum(dim=1)
        assert bool((places <= result.epsilon).all())
        assert torch.equal(result.distance, places.float())


def test_an_l0_attack_that_breaks_its_budget_has_found_nothing(cnn, right):
    class Greedy(Sparse):
        def perturb(self, victim, images, labels, *, epsilon, random):
            return 1.0 - images

    result = Greedy()(cnn, *right, epsilons=[5.0])[0]
    assert not bool(result.success.any())
    assert torch.equal(result.adversarial, right[0])


def test_images_that_are_wrong_before_stay_as_they_are(cnn, right):
    images, labels = right[0], right[1].clone()
    wrong = torch.arange(len(labels)) % 3 == 0
    labels[wrong] = (labels[wrong] + 1) % 10
    for attack in (FGSM(), PGD(steps=4), Guesses(), Shrinking()):
        for result in attack(cnn, images, labels, epsilons=EPSILONS):
            assert torch.equal(result.adversarial[wrong], images[wrong])
            assert not bool(result.success[wrong].any())
            for counted in (result.forwards, result.backwards, result.distance):
                assert set(counted[wrong].tolist()) == {0}
            assert set(result.first_success[wrong].tolist()) == {-1}
            assert torch.equal(result.prediction[wrong], right[1][wrong])
            assert bool((result.margin[wrong] < 0).all())
            assert bool((result.forwards[~wrong] > 0).all())


def test_the_others_results_do_not_depend_on_the_wrong_ones(cnn, right):
    images, labels = right[0], right[1].clone()
    labels[::2] = (labels[::2] + 1) % 10
    mixed = PGD(steps=4)(cnn, images, labels, epsilons=[0.1])[0]
    alone = PGD(steps=4)(cnn, images[1::2], labels[1::2], epsilons=[0.1])[0]
    assert torch.equal(mixed.adversarial[1::2], alone.adversarial)


def test_results_say_what_they_are(cnn, right):
    images, labels = right
    for result in PGD(steps=4)(cnn, images, labels, epsilons=EPSILONS):
        assert torch.equal(result.success, result.prediction != labels)
        assert torch.equal(result.success, result.margin < 0)
        assert torch.equal(result.distance, distances(images, result.adversarial, "linf"))
        assert torch.equal(
            project(images, result.adversarial, result.epsilon, "linf"), result.adversarial
        )
        logits = Victim(cnn).logits(result.adversarial)
        assert torch.equal(logits.argmax(dim=1), result.prediction)
        assert result.seconds > 0


def test_results_come_in_the_order_of_the_epsilons(cnn, right):
    asked = [0.2, 0.05, 0.2, 0.1]
    results = FGSM()(cnn, *right, epsilons=asked)
    assert [result.epsilon for result in results] == asked
    ascending = FGSM()(cnn, *right, epsilons=sorted(asked))
    assert torch.equal(results[0].success, ascending[-1].success)
    assert torch.equal(results[1].success, ascending[0].success)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_labels_of_any_integer_type(cnn, right, dtype):
    result = BIM(steps=2)(cnn, right[0], right[1].to(dtype), epsilons=[0.1])[0]
    assert torch.equal(result.success, BIM(steps=2)(cnn, *right, epsilons=[0.1])[0].success)


def test_images_with_a_graph_give_results_without_one(cnn, right):
    images = right[0].clone().requires_grad_(True)
    result = BIM(steps=2)(cnn, images * 1.0, right[1], epsilons=[0.1])[0]
    assert not result.adversarial.requires_grad
    assert images.grad is None
    assert torch.equal(
        result.adversarial, BIM(steps=2)(cnn, *right, epsilons=[0.1])[0].adversarial
    )


@pytest.mark.parametrize("attack", [FGSM(), PGD(steps=2), Shrinking()])
def test_no_images_give_no_results(cnn, attack):
    results = attack(cnn, torch.zeros(0, 1, 8, 8), torch.zeros(0).long(), epsilons=[0.1, 0.2])
    assert [len(result) for result in results] == [0, 0]
    assert results[1].adversarial.shape == (0, 1, 8, 8)


def test_an_attack_on_images_that_are_all_wrong(cnn, right):
    results = PGD(steps=2)(cnn, right[0], (right[1] + 1) % 10, epsilons=EPSILONS)
    assert all(torch.equal(result.adversarial, right[0]) for result in results)


def test_dead_gradients_are_told(cnn, right):
    class Quantised(torch.nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, images):
            return self.network(torch.round(images * 16) / 16)

    for attack in (FGSM(), OneStep(), PGD(steps=2)):
        assert bool(attack(Quantised(cnn), *right, epsilons=[0.1])[0].gradient_dead.all())
        assert not bool(attack(cnn, *right, epsilons=[0.1])[0].gradient_dead.any())


def test_a_network_that_lets_no_gradient_through_at_all(cnn, right):
    class Detached(torch.nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, images):
            return self.network(images.detach())

    result = BIM(steps=2)(Detached(cnn), *right, epsilons=[0.1])[0]
    assert bool(result.gradient_dead.all())
    assert not bool(result.success.any())
