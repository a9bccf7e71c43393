import functools

import pytest
import torch
from torch import nn

from robench.attacks.autoattack import AutoAttack, AutoAttackRand
from robench.attacks.base import Attack

from ..peers import peer
from .closed_form import between, binary, exact_distances, five_classes
from .hardened import hardened_cnn
from .networks import Linear, load_digit_images, rows_seen, trained_cnn

QUICK = {"steps": 10, "targets": 2, "queries": 40}
MADE = {
    "autoattack": functools.partial(AutoAttack, **QUICK),
    "autoattack-rand": functools.partial(AutoAttackRand, steps=8, eot=2),
}
both = pytest.mark.parametrize("name", sorted(MADE))


class _Member(Attack):
    """One member of an ensemble, on all images, with the random numbers it has there."""

    def __init__(self, ensemble, number):
        self.name, self.norm, self.number = ensemble.name, ensemble.norm, number
        self.member = list(ensemble.parts())[number]

    def perturb(self, victim, images, labels, *, epsilon, random):
        return self.member.perturb(
            victim, images, labels, epsilon=epsilon, random=random.restarted(self.number)
        )


def _one_by_one(ensemble, network, images, labels, epsilon):
    count = len(ensemble.members(10))
    return [_Member(ensemble, number)(network, images, labels, epsilons=[epsilon])[0]
            for number in range(count)]


@both
@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.1), ("l2", 0.55)])
def test_it_is_the_worst_case_of_its_members_on_all_images(cnn, right, name, norm, epsilon):
    images, labels = right
    ensemble = MADE[name](norm=norm)
    alone = _one_by_one(ensemble, cnn, images, labels, epsilon)
    result = ensemble(cnn, images, labels, epsilons=[epsilon])[0]
    broken = torch.stack([each.success for each in alone])
    assert torch.equal(result.success, broken.any(dim=0))
    assert 0 < int(broken[0].sum()) < int(result.success.sum()) + 1 <= len(images)
    assert not bool(result.success.all())
    # An image is that of the first member that broke it, and has cost what it took until then.
    first = torch.where(broken.any(dim=0), broken.int().argmax(dim=0), len(alone) - 1)
    for row, number in enumerate(first.tolist()):
        costs = [int(each.forwards[row]) for each in alone[: number + 1]]
        assert int(result.forwards[row]) == sum(costs)
        if result.success[row]:
            assert torch.equal(result.adversarial[row], alone[number].adversarial[row])


@pytest.mark.parametrize(("classes", "standard", "rand"), [
    (2, ("apgd-ce", "apgd-margin", "fab-t", "square"), ("apgd-ce", "apgd-margin")),
    (3, ("apgd-ce", "apgd-margin-t", "fab-t", "square"), ("apgd-ce", "apgd-dlr")),
    (4, ("apgd-ce", "apgd-t", "fab-t", "square"), ("apgd-ce", "apgd-dlr")),
    (1000, ("apgd-ce", "apgd-t", "fab-t", "square"), ("apgd-ce", "apgd-dlr")),
])
def test_the_members_are_named(classes, standard, rand):
    assert AutoAttack().members(classes) == standard
    assert AutoAttackRand().members(classes) == rand


def test_the_members_have_the_settings():
    made = list(AutoAttack(norm="l2", steps=7, targets=3, queries=11).parts())
    assert [each.name for each in made] == ["apgd", "apgd-t", "fab", "square"]
    assert {each.norm for each in made} == {"l2"}
    assert [getattr(each, "steps", None) for each in made] == [7, 7, 7, None]
    assert [made[1].targets, made[2].targets, made[2].targeted] == [3, 3, True]
    assert made[3].queries == 11
    ce, dlr = AutoAttackRand(steps=7, eot=5).parts()
    assert (ce.loss, dlr.loss, ce.eot, dlr.eot, dlr.steps) == ("ce", "dlr", 5, 5, 7)


@both
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("make", [
    functools.partial(binary, one_logit=False), functools.partial(binary, one_logit=True),
    lambda: _three_classes(), five_classes,
], ids=["two", "one-logit", "three", "five"])
def test_exactly_the_near_images_break(name, norm, make):
    network, images, labels = make()
    exact = exact_distances(network, images, labels, norm)
    attack = MADE[name](norm=norm, **({"steps": 30} if norm == "l2" else {}))
    for result in attack(network, images, labels, epsilons=between(exact), ladder=False):
        assert torch.equal(result.success, exact < result.epsilon)


def _three_classes():
    five, images, _ = five_classes()
    network = Linear(five.weights.detach()[:3], five.bias.detach()[:3])
    with torch.no_grad():
        return network, images, network(images).argmax(dim=1)


class _Forbidden(Attack):
    def perturb(self, victim, images, labels, *, epsilon, random):
        raise AssertionError(f"{len(images)} images left")


@both
def test_where_nothing_stands_nothing_runs(monkeypatch, name):
    network, images, labels = binary(one_logit=False)
    attack = MADE[name]()
    first = next(attack.parts())
    monkeypatch.setattr(attack, "parts", lambda: iter([first, _Forbidden()]))
    assert bool(attack(network, images, labels, epsilons=[0.9])[0].success.all())
    with pytest.raises(AssertionError, match="images left"):
        attack(network, images, labels, epsilons=[0.001])


def test_survivors_only_go_on():
    network = trained_cnn()
    images, labels = (values[1400:] for values in load_digit_images())
    with torch.no_grad():
        rows = torch.eq(network(images).argmax(dim=1), labels)
    images, labels = images[rows][:200], labels[rows][:200]
    attack = AutoAttack(**QUICK)
    with rows_seen(network) as together:
        result = attack(network, images, labels, epsilons=[0.12])[0]
    assert 0.3 < float(result.success.float().mean()) < 1
    with rows_seen(network) as one_by_one:
        _one_by_one(attack, network, images, labels, 0.12)
    assert sum(together) < 0.8 * sum(one_by_one)


@pytest.mark.slow
@pytest.mark.parametrize(("made", "epsilon"), [(trained_cnn, 0.06), (hardened_cnn, 0.12)])
def test_robust_accuracy_is_that_of_the_authors_members(made, epsilon):
    """torchattacks has them, but at other settings in its own ensemble."""
    torchattacks = peer("torchattacks")
    network = made()
    images, labels = (values[1400:1600] for values in load_digit_images())
    with torch.no_grad():
        rows = torch.eq(network(images).argmax(dim=1), labels)
    images, labels = images[rows], labels[rows]
    native = AutoAttack(queries=500)(network, images, labels, epsilons=[epsilon])[0].success
    reference = torchattacks.MultiAttack([
        torchattacks.APGD(network, eps=epsilon, steps=100),
        torchattacks.APGDT(network, eps=epsilon, steps=100, n_classes=10),
        torchattacks.FAB(network, eps=epsilon, steps=100, multi_targeted=True, n_classes=10),
        torchattacks.Square(network, eps=epsilon, n_queries=500),
    ])(images, labels)
    with torch.no_grad():
        theirs = torch.ne(network(reference).argmax(dim=1), labels)
    assert abs(int(native.sum()) - int(theirs.sum())) <= 1
    assert int((native != theirs).sum()) <= 2


def test_a_network_that_draws_random_numbers():
    class Noisy(nn.Module):
        """Breaks at once where it may be attacked, and only by chance elsewhere."""

        def __init__(self, network):
            super().__init__()
            self.network = network
            self.generator = torch.Generator().manual_seed(0)

        def forward(self, pixels):
            logits = self.network(pixels)
            noise = torch.randn(logits.shape, generator=self.generator)
            return logits + noise

    linear, images, labels = binary(one_logit=False)
    exact = exact_distances(linear, images, labels, "linf")
    epsilon = float(exact.median())
    near, far = exact < 0.6 * epsilon, exact > 1.4 * epsilon
    scale = 8.0 / float(epsilon * linear.weights.detach().diff(dim=0).abs().sum())
    network = Noisy(Linear(scale * linear.weights.detach(), scale * linear.bias.detach()))
    result = AutoAttackRand(steps=10, eot=10)(network, images, labels, epsilons=[epsilon])[0]
    assert min(int(near.sum()), int(far.sum())) > 5
    assert float(result.success[near].float().mean()) > 0.8
    assert float(result.success[far].float().mean()) < 0.2
