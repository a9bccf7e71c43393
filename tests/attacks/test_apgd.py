import functools

import numpy as np
import pytest
import torch
from torch import nn

from robench.attacks.apgd import APGD, APGDTargeted
from robench.attacks.balls import distances
from robench.attacks.draws import Draws
from robench.attacks.expectation import Surface
from robench.attacks.losses import cw

from ..peers import peer
from .closed_form import between, binary, exact_distances, five_classes
from .hardened import hardened_cnn
from .networks import Linear, images_seen, load_digit_images, rows_seen, trained_cnn, whole_view

THEIR_NORM = {"linf": "Linf", "l2": "L2"}


class Given:
    """Random numbers that were drawn elsewhere."""

    def __init__(self, offset):
        self.offset = offset

    def uniform(self, *shape, **bounds):
        return self.offset

    def normal(self, *shape):
        return self.offset


@functools.cache
def _trained(kind, *, first=1400):
    """A network and the digits from the `first` on that it gets right; 1,400 were trained on."""
    network = trained_cnn() if kind == "standard" else hardened_cnn()
    images, labels = (values[first:] for values in load_digit_images())
    with torch.no_grad():
        rows = torch.eq(network(images).argmax(dim=1), labels)
    return network, images[rows], labels[rows]


def _broken_by(reference, network, images, labels):
    adversarial = reference(images, labels)
    with torch.no_grad():
        return torch.ne(network(adversarial).argmax(dim=1), labels)


def _off_the_edge(kind, count):
    """A network and images whose balls the box does not cut, so that a start can be handed on."""
    network, images, labels = _trained(kind)
    images = 0.3 + 0.4 * images
    with torch.no_grad():
        rows = torch.eq(network(images).argmax(dim=1), labels)
    return network, images[rows][:count], labels[rows][:count]


def _their_iterates(network, images, labels, *, norm, epsilon, loss):
    """torchattacks has the authors' code unchanged."""
    torchattacks = peer("torchattacks")
    with images_seen(network) as seen:
        torchattacks.APGD(
            network, norm=THEIR_NORM[norm], eps=epsilon, steps=100, loss=loss, seed=0
        )(images, labels)
    return np.stack(seen[1:])  # the clean images are looked at first


def _our_iterates(network, images, labels, start, *, norm, epsilon, loss):
    offset = (torch.from_numpy(start) - images) / epsilon
    query, _ = whole_view(network, images, labels, epsilon=epsilon, norm=norm)
    with images_seen(network) as seen:
        last = APGD(norm=norm, loss=loss).perturb(
            query, images, labels, epsilon=epsilon, random=Given(offset)
        )
    return np.stack([*seen, last.numpy()])


def _apart(ours, theirs):
    """By how much a pixel differs at the most, steps×images."""
    assert ours.shape == theirs.shape
    assert len(ours) == 101
    return np.abs(ours - theirs).max(axis=(2, 3, 4))


@pytest.mark.parametrize(("kind", "norm", "epsilon", "loss"), [
    *(("standard", norm, epsilon, loss) for loss in ("ce", "dlr")
      for norm, epsilon in (("linf", 0.05), ("linf", 0.1), ("l2", 0.3))),
    ("hardened", "linf", 0.05, "ce"), ("hardened", "l2", 0.3, "dlr"),
])
def test_every_iterate_is_that_of_the_authors_code(kind, norm, epsilon, loss):
    setting = {"norm": norm, "epsilon": epsilon, "loss": loss}
    network, images, labels = _off_the_edge(kind, 64)
    theirs = _their_iterates(network, images, labels, **setting)
    apart = _apart(_our_iterates(network, images, labels, theirs[0], **setting), theirs)
    assert apart[0].max() <= 1e-5
    # For rounding, see the next test; of a hardened network fewer images are far from all kinks.
    assert (apart.max(axis=0) <= 1e-5).mean() >= (0.9 if kind == "standard" else 0.75)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["ce", "dlr"])
@pytest.mark.parametrize(("kind", "norm", "epsilon"), [
    ("standard", "linf", 0.05), ("standard", "l2", 0.3),
    ("hardened", "linf", 0.05), ("hardened", "linf", 0.1),
    ("hardened", "l2", 0.3), ("hardened", "l2", 0.6),
])
def test_no_more_part_from_it_than_from_itself_where_pixels_move_by_a_rounding(
    kind, norm, epsilon, loss
):
    """Rounding switches the sign of a gradient next to 0, a ReLU, the order of two logits in the
    ratio, or whether a loss rose, and so all that follows. The L2 projection here aims 3e-7 inside
    the ball, so that is what their images are moved by."""
    setting = {"norm": norm, "epsilon": epsilon, "loss": loss}
    network, images, labels = _off_the_edge(kind, 400)
    theirs = _their_iterates(network, images, labels, **setting)
    same, theirs_too = (
        (_apart(found, theirs).max(axis=0) <= 1e-5).mean() for found in (
            _our_iterates(network, images, labels, theirs[0], **setting),
            _their_iterates(network, images + 3e-7, labels, **setting),
        )
    )
    assert len(images) > 200
    assert same >= max(theirs_too - 0.05, 0.75)


@pytest.mark.parametrize(("kind", "norm", "epsilon", "loss", "steps", "first"), [
    ("standard", "linf", 0.06, "ce", 10, 997), ("hardened", "linf", 0.12, "ce", 10, 997),
    *(pytest.param(kind, norm, epsilon, loss, 100, 0, marks=pytest.mark.slow)
      for kind, norm, epsilon in (("standard", "linf", 0.06), ("standard", "l2", 0.35),
                                  ("hardened", "linf", 0.12), ("hardened", "l2", 0.5))
      for loss in ("ce", "dlr")),
])
def test_robust_accuracy_is_that_of_the_authors_code_within_half_a_point(
    kind, norm, epsilon, loss, steps, first
):
    """Of all digits from the `first` on; each starts at random points of its own."""
    torchattacks = peer("torchattacks")
    network, images, labels = _trained(kind, first=first)
    native = APGD(norm=norm, loss=loss, steps=steps)(
        network, images, labels, epsilons=[epsilon])[0].success
    reference = _broken_by(torchattacks.APGD(
        network, norm=THEIR_NORM[norm], eps=epsilon, steps=steps, loss=loss
    ), network, images, labels)
    assert 0.1 < float(reference.float().mean()) < 0.9
    assert abs(int(native.sum()) - int(reference.sum())) <= 0.005 * (1797 - first)
    assert float((native == reference).float().mean()) >= 0.97


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "norm", "epsilon"), [
    ("standard", "linf", 0.06), ("standard", "l2", 0.35),
    ("hardened", "linf", 0.12), ("hardened", "l2", 0.5),
])
def test_towards_targets_it_is_too(kind, norm, epsilon):
    torchattacks = peer("torchattacks")
    network, images, labels = _trained(kind)
    native = APGDTargeted(norm=norm)(network, images, labels, epsilons=[epsilon])[0].success
    reference = _broken_by(torchattacks.APGDT(
        network, norm=THEIR_NORM[norm], eps=epsilon, steps=100, n_classes=10
    ), network, images, labels)
    assert abs(float(native.float().mean() - reference.float().mean())) <= 0.005
    assert float((native == reference).float().mean()) >= 0.99


@pytest.mark.parametrize("attack", [
    APGD(steps=20), APGD(norm="l2", steps=30), APGD(loss="dlr", steps=10, restarts=3),
    APGD(loss="margin", norm="l2", steps=20, restarts=3), APGDTargeted(steps=10),
    APGDTargeted(norm="l2", steps=30),
], ids=lambda attack: f"{attack.name}-{attack.loss}-{attack.norm}")
@pytest.mark.parametrize("make", [
    functools.partial(binary, one_logit=False), functools.partial(binary, one_logit=True),
    five_classes,
], ids=["two", "one-logit", "five"])
def test_exactly_the_near_images_break(make, attack):
    """Also with two classes, where the ratio of logits is not there."""
    network, images, labels = make()
    exact = exact_distances(network, images, labels, attack.norm)
    for result in attack(network, images, labels, epsilons=between(exact), ladder=False):
        assert torch.equal(result.success, exact < result.epsilon)
        assert 0 < int(result.success.sum()) < len(images)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_of_three_classes_too(norm):
    """Where the targeted ratio of logits is not there."""
    five, images, _ = five_classes()
    network = Linear(five.weights.detach()[:3], five.bias.detach()[:3])
    with torch.no_grad():
        labels = network(images).argmax(dim=1)
    exact = exact_distances(network, images, labels, norm)
    for result in APGDTargeted(norm=norm, steps=30)(
        network, images, labels, epsilons=between(exact), ladder=False
    ):
        assert torch.equal(result.success, exact < result.epsilon)


@pytest.mark.parametrize(("attack", "runs", "looks"), [
    (APGD(steps=10), 1, 0), (APGD(steps=10, restarts=3), 3, 0),
    (APGD(steps=10, target="next"), 1, 1), (APGDTargeted(steps=10), 9, 1),
    (APGDTargeted(steps=10, targets=2, restarts=2), 4, 1),
    (APGDTargeted(steps=10, targets=99), 9, 1),
])
def test_what_a_survivor_costs(cnn, right, attack, runs, looks):
    images, labels = right
    result = attack(cnn, images, labels, epsilons=[0.03])[0]
    standing = ~result.success
    assert 0 < int(result.success.sum()) < len(images)
    assert set(result.forwards[standing].tolist()) == {11 * runs + looks}
    assert set(result.backwards[standing].tolist()) == {10 * runs}


@pytest.mark.parametrize("attack", [
    APGD(steps=8, loss="dlr", restarts=2), APGDTargeted(steps=5, targets=3, norm="l2"),
    APGD(steps=8, eot=2),
], ids=lambda attack: f"{attack.name}-{attack.norm}-{attack.eot}")
def test_no_bit_depends_on_the_batch(attack):
    network, images, labels = _trained("standard")
    images, labels = images[:50], labels[:50]
    epsilon = 0.07 if attack.norm == "linf" else 0.4
    whole = attack(network, images, labels, epsilons=[epsilon])[0]
    assert 3 < int(whole.success.sum()) < 47
    for rows in torch.arange(50).split(17):
        part = attack(network, images[rows], labels[rows], epsilons=[epsilon])[0]
        for key in ("adversarial", "success", "margin", "forwards", "backwards"):
            assert torch.equal(getattr(part, key), getattr(whole, key)[rows]), key


def test_broken_images_leave_the_batch():
    network, images, labels = _trained("standard")
    with rows_seen(network) as seen:
        result = APGD(steps=40)(network, images, labels, epsilons=[0.3])[0]
    assert float(result.success.float().mean()) > 0.9
    tiles = -(-len(images) // 32)
    assert sum(seen) < 0.5 * 40 * tiles * 32


class _NeverRises(nn.Module):
    """Logits that are the same everywhere, with a gradient that says the pixels should fall."""

    def forward(self, pixels):
        total = pixels.flatten(1).sum(dim=1)
        flat = total - total.detach()
        return torch.stack([1.0 + flat, -flat], dim=1)


def _path(steps):
    """The iterates of a pixel, from the top of its ball."""
    images, labels = torch.full((2, 1, 4, 4), 0.5), torch.zeros(2).long()
    network = _NeverRises()
    query, _ = whole_view(network, images, labels, epsilon=0.1)
    with images_seen(network) as seen:
        last = APGD(steps=steps, loss="margin").perturb(
            query, images, labels, epsilon=0.1, random=Given(torch.ones_like(images))
        )
    assert len(seen) == steps
    return [float(iterate.max()) for iterate in [*seen, last.numpy()]]


@pytest.mark.parametrize(("steps", "expected"), [
    (100, [22, 41, 57, 70, 80, 87, 93, 99]), (50, [11, 21, 30, 38, 45]), (3, [1, 2]),
])
def test_the_checkpoints(steps, expected):
    """Of 100 steps, those of the paper. Where the loss never rises, each puts the image back to
    its best point, which is where it started."""
    path = _path(steps)
    assert [step for step in range(1, steps) if path[step + 1] > path[step]] == expected


def test_each_halves_the_step():
    """From 2ε on; the share of the momentum is 0 in the first step and after going back."""
    assert _path(3) == pytest.approx([0.6, 0.4, 0.6 - 0.75 * 0.1, 0.6 - 0.75 * 0.05])


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_starts_are_on_the_surface(cnn, norm):
    images, labels = torch.full((50, 1, 8, 8), 0.5), torch.zeros(50).long()
    draws = Draws.keyed([str(row) for row in range(50)], seed=0, attack="apgd",
                        device=images.device)
    query, _ = whole_view(cnn, images, labels, epsilon=0.2, norm=norm)
    with images_seen(cnn) as seen:
        APGD(steps=1, norm=norm).perturb(query, images, labels, epsilon=0.2, random=draws)
    start = torch.from_numpy(seen[0])
    assert torch.allclose(distances(images, start, norm), torch.tensor(0.2), atol=1e-5)
    assert float((start - images).mean(dim=0).abs().max()) < 0.1
    assert len(np.unique(seen[0].reshape(50, -1), axis=0)) == 50


def test_restarts_start_elsewhere_and_only_break_more():
    network, images, labels = _trained("standard")
    once, often = (
        APGD(steps=1, restarts=restarts)(network, images[:100], labels[:100], epsilons=[0.15])[0]
        for restarts in (1, 4)
    )
    assert not bool((once.success & ~often.success).any())
    assert int(often.success.sum()) > int(once.success.sum())
    assert torch.equal(once.adversarial[once.success], often.adversarial[once.success])


@pytest.mark.parametrize("loss", ["ce", "margin", "dlr"])
def test_a_target_is_where_it_goes(loss):
    network, images, labels = five_classes()
    query, _ = whole_view(network, images, labels, epsilon=0.3)
    start = torch.ones_like(images).uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
    last = APGD(loss=loss, target=3, steps=20).perturb(
        query, images, labels, epsilon=0.3, random=Given(start)
    )
    with torch.no_grad():
        logits = network(last)
    away = labels != 3
    assert int(away.sum()) > 20
    lead = logits[:, 3] - logits.gather(1, labels[:, None])[:, 0]
    assert bool((lead[away] > 0).all())
    if loss == "ce":  # the others do not look at the other classes
        assert bool((logits[away].argmax(dim=1) == 3).all())


class _Turns(nn.Module):
    """A linear network whose `call`-th logits are multiplied by the number that is its turn."""

    def __init__(self, network, factors):
        super().__init__()
        self.network, self.factors, self.calls = network, factors, 0

    def forward(self, pixels):
        factor = self.factors[self.calls % len(self.factors)]
        self.calls += 1
        return factor * self.network(pixels)


def _surface(factors, draws):
    network, images, labels = binary(one_logit=False)
    query, log = whole_view(_Turns(network, factors), images, labels, epsilon=1.0, norm="l2")
    loss, gradient = Surface(cw, draws)(query, images, labels)
    exact, _ = whole_view(network, images, labels, epsilon=1.0, norm="l2")
    once, slope = Surface(cw)(exact, images, labels)
    return log, loss / once, gradient / slope


def test_loss_and_gradient_are_means_over_the_draws():
    """Five draws are a pass of two copies and one of three."""
    log, loss, gradient = _surface([1.0, 3.0], 5)
    assert torch.allclose(loss, torch.tensor(2.2), rtol=1e-4)
    assert torch.allclose(gradient, torch.tensor(2.2), rtol=1e-4)
    assert set(log.backwards.tolist()) == {5}


@pytest.mark.parametrize(("factors", "shown", "found"), [
    ([1.0, 1.0, 1.0], False, False),
    ([1.0, -1.0, -1.0], False, False),  # half of the draws are wrong
    ([-1.0, -1.0, 1.0], True, False),  # all are, and the one that is watched is not
    ([-1.0, -1.0, -1.0], True, True),
])
def test_a_candidate_counts_where_most_draws_are_wrong_and_one_more_is(factors, shown, found):
    log, _, _ = _surface(factors, 4)
    assert set(log.forwards.tolist()) == {5 if shown else 4}
    assert set(log.found.tolist()) == {found}


def test_chance_breaks_few_images_when_averaged():
    class Dice(nn.Module):
        """Wrong in one of ten passes, wherever the image is."""

        def __init__(self):
            super().__init__()
            self.generator = torch.Generator().manual_seed(0)

        def forward(self, pixels):
            wrong = torch.rand(len(pixels), generator=self.generator) < 0.1
            lead = torch.where(wrong, -1.0, 1.0) + 0.0 * pixels.flatten(1).sum(dim=1)
            return torch.stack([lead, -lead], dim=1)

    images, labels = torch.full((32, 1, 4, 4), 0.5), torch.zeros(32).long()
    shares = [
        float(APGD(steps=30, eot=eot)(Dice(), images, labels, epsilons=[0.1])[0]
              .success.float().mean()) for eot in (1, 20)
    ]
    assert shares[0] > 0.8
    assert shares[1] < 0.3


def test_averaging_changes_nothing_for_a_network_that_draws_nothing(cnn, right):
    one, two = (APGD(steps=10, eot=eot)(cnn, *right, epsilons=[0.05])[0] for eot in (1, 2))
    assert torch.equal(one.success, two.success)
    assert torch.equal(one.adversarial[one.success], two.adversarial[one.success])
    assert set(two.backwards[~two.success].tolist()) == {22}
