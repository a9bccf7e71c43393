import numpy as np
import pytest
import torch
from scipy import stats

from robench.attacks.balls import distances
from robench.attacks.draws import Draws
from robench.attacks.fgsm import FGSM
from robench.attacks.losses import cw, dlr
from robench.attacks.pgd import BIM, PGD
from robench.attacks.targets import target_classes

from ..peers import peer
from .closed_form import between, binary, exact_distances, five_classes
from .networks import images_seen, last_iterate, rows_seen, whole_view

EPSILONS = [0.02, 0.1, 0.3]


def _foolbox(cnn, images, labels, *, epsilon, step_size):
    foolbox = peer("foolbox")
    network = foolbox.PyTorchModel(cnn, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.LinfPGD(abs_stepsize=step_size, steps=40, random_start=False)
    return attack.run(network, images, labels, epsilon=epsilon)


def _torchattacks(cnn, images, labels, *, epsilon, step_size):
    torchattacks = peer("torchattacks")
    return torchattacks.PGD(
        cnn, eps=epsilon, alpha=step_size, steps=40, random_start=False
    )(images, labels)


def _torchattacks_bim(cnn, images, labels, *, epsilon, step_size):
    torchattacks = peer("torchattacks")
    return torchattacks.BIM(cnn, eps=epsilon, alpha=step_size, steps=40)(images, labels)


@pytest.mark.parametrize("reference", [_foolbox, _torchattacks, _torchattacks_bim])
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
    foolbox = peer("foolbox")
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


def _l1_distances(network, images, labels):
    """To the nearest boundary, along the one pixel that weighs most (none meets the box)."""
    weights, logits = network.weights.detach().double(), network(images).detach().double()
    apart = (weights[labels][:, None, :] - weights[None]).abs().amax(dim=-1)
    gap = (logits.gather(1, labels[:, None]) - logits) / apart
    return gap.masked_fill(apart == 0, float("inf")).amin(dim=1)


@pytest.mark.parametrize("setup", [lambda: binary(one_logit=False), five_classes])
def test_in_l1_exactly_the_near_images_break(setup):
    network, images, labels = setup()
    exact = _l1_distances(network, images, labels)
    shares = (0.1, 0.3, 0.5) if len(network.weights) == 2 else (0.2, 0.5, 0.8)
    epsilons = between(exact, shares=shares)
    for attack in (BIM(norm="l1"), PGD(norm="l1", restarts=2)):
        for result in attack(network, images, labels, epsilons=epsilons, ladder=False):
            reach = 1.0 if isinstance(attack, BIM) else 0.97  # the start's other pixels linger
            assert not bool((result.success & (exact >= result.epsilon)).any())
            assert bool(result.success[exact < reach * result.epsilon].all())
            assert 0 < int(result.success.sum()) < len(images)


def test_in_l1_the_box_is_no_obstacle(cnn, right):
    """Foolbox projects on the ball alone, and cuts with the box after it: it gets no further."""
    foolbox = peer("foolbox")
    images, labels = right
    network = foolbox.PyTorchModel(cnn, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.SparseL1DescentAttack(rel_stepsize=2.5 / 40, steps=40)
    for epsilon in (1.0, 2.0):
        theirs = attack(network, images, labels, epsilons=epsilon)[2]
        ours = BIM(norm="l1")(cnn, images, labels, epsilons=[epsilon])[0]
        assert int(ours.success.sum()) >= int(theirs.sum())
        assert float(ours.distance.max()) > 0.99 * epsilon


def test_a_restart_goes_on_with_the_survivors_alone(cnn, right):
    images, labels = right
    one = PGD(steps=5)(cnn, images, labels, epsilons=[0.1])[0]
    with rows_seen(cnn) as seen:
        three = PGD(steps=5, restarts=3)(cnn, images, labels, epsilons=[0.1])[0]
    assert bool((three.success | ~one.success).all())
    assert int(three.success.sum()) > int(one.success.sum())
    assert set(three.forwards[~three.success].tolist()) == {18}
    assert set(three.backwards[~three.success].tolist()) == {15}
    early = one.success
    assert torch.equal(three.adversarial[early], one.adversarial[early])
    assert sum(seen) < 19 * 64


def test_each_restart_has_a_start_of_its_own_and_the_first_is_that_of_one(cnn, right):
    images, labels = right[0][:4], right[1][:4]
    query, _ = whole_view(cnn, images, labels, epsilon=0.1)
    names = ["a", "b", "c", "d"]
    draws = Draws.keyed(names, seed=3, attack="pgd", device=images.device)
    with images_seen(cnn) as seen:
        PGD(steps=1, restarts=3).perturb(query, images, labels, epsilon=0.1, random=draws)
    starts = [seen[0], seen[2], seen[4]]
    for restart, start in enumerate(starts):
        keyed = Draws.keyed(names, seed=3, attack="pgd", restart=restart, device=images.device)
        offset = keyed.uniform(1, 8, 8, low=-1.0, high=1.0)
        assert np.abs(start - (images + 0.1 * offset).clamp(0, 1).numpy()).max() < 1e-6


@pytest.mark.parametrize(("loss", "reference"), [("margin", cw), ("dlr", dlr)])
def test_the_first_step_goes_along_the_chosen_loss(cnn, right, loss, reference):
    images, labels = right
    attack = PGD(steps=1, step_size=0.1, random_start=False, loss=loss)
    found = last_iterate(attack, cnn, images, labels, 0.1)
    leaf = images.clone().requires_grad_(True)
    gradient = torch.autograd.grad(reference(cnn(leaf), labels).sum(), leaf)[0]
    assert float((found - (images + 0.1 * gradient.sign()).clamp(0, 1)).abs().max()) < 1e-6


@pytest.mark.parametrize("loss", ["ce", "margin", "dlr"])
@pytest.mark.parametrize("target", ["least-likely", "next", 3])
def test_a_targeted_run_ends_nearer_to_its_target(cnn, right, loss, target):
    images, labels = right[0][:32], right[1][:32]
    with torch.no_grad():
        clean = cnn(images)
    targets = target_classes(target, clean, labels, None)
    attack = PGD(steps=10, random_start=False, loss=loss, target=target)
    with torch.no_grad():
        after = cnn(last_iterate(attack, cnn, images, labels, 0.3))
    gap = after.gather(1, targets[:, None]) - after.gather(1, labels[:, None])
    before = clean.gather(1, targets[:, None]) - clean.gather(1, labels[:, None])
    assert float((gap > before).float().mean()) > 0.9
    assert float(torch.ne(after.argmax(dim=1), labels).float().mean()) > 0.5
    if loss == "ce":  # the others ask for no more than that the target is above the label
        assert float(torch.eq(after.argmax(dim=1), targets).float().mean()) > 0.8


def test_targeted_cross_entropy_is_foolboxs_targeted_run(cnn, right):
    foolbox = peer("foolbox")
    images, labels = right
    targets = (labels + 1) % 10
    network = foolbox.PyTorchModel(cnn, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.LinfPGD(abs_stepsize=0.02, steps=8, random_start=False)
    theirs = attack.run(network, images, foolbox.criteria.TargetedMisclassification(targets),
                        epsilon=0.1)
    ours = last_iterate(BIM(steps=8, step_size=0.02, target="next"), cnn, images, labels, 0.1)
    assert float((ours - theirs).abs().max()) <= 1e-6


def test_a_target_costs_a_forward(cnn, right):
    result = PGD(steps=4, target="random")(cnn, *right, epsilons=[0.05])[0]
    assert set(result.forwards[~result.success].tolist()) == {6}
    assert set(result.backwards[~result.success].tolist()) == {4}


@pytest.mark.parametrize("settings", [
    {"norm": "l1"}, {"restarts": 3}, {"target": "random", "restarts": 2, "loss": "margin"},
    {"norm": "l1", "loss": "dlr", "restarts": 2}, {"target": "least-likely", "norm": "l2"},
])
def test_no_setting_makes_images_depend_on_each_other(cnn_and_36, settings):
    cnn, images, labels = cnn_and_36
    epsilons = [2.0] if settings.get("norm") == "l1" else [0.1]
    whole = PGD(steps=3, **settings)(cnn, images, labels, epsilons=epsilons)[0]
    rows = torch.tensor([30, 2, 17, 8, 35])
    part = PGD(steps=3, **settings)(cnn, images[rows], labels[rows], epsilons=epsilons)[0]
    for key in ("adversarial", "success", "forwards", "backwards", "first_success", "margin"):
        assert torch.equal(getattr(whole, key)[rows], getattr(part, key)), key


class _Sharp(torch.nn.Module):
    """The same decisions by ever larger logits, as many or as one."""

    def __init__(self, network, *, scale, one_logit):
        super().__init__()
        self.network, self.scale, self.one_logit = network, scale, one_logit

    def forward(self, images):
        logits = self.scale * self.network(images)
        two = torch.stack([logits[:, ::2].mean(1), logits[:, 1::2].mean(1)], dim=1)
        return two.diff(dim=1) if self.one_logit else logits


@pytest.mark.parametrize("one_logit", [False, True])
def test_confidence_does_not_save_a_network(cnn, right, one_logit):
    """PyTorch's cross-entropy has no gradient at most of these images."""
    images, labels = right
    labels = labels % 2 if one_logit else labels
    found = []
    for scale in (1.0, 30.0):
        network = _Sharp(cnn, scale=scale, one_logit=one_logit)
        found.append(BIM(steps=10)(network, images, labels, epsilons=[0.1])[0])
    assert not bool(found[1].gradient_dead.any())
    share = [float(result.success.float().mean()) for result in found]
    assert share[1] > share[0] - 0.1
