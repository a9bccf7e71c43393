import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from robench.attacks.balls import distances
from robench.attacks.checks import content_ids
from robench.attacks.deepfool import DeepFool
from robench.attacks.draws import Draws
from robench.attacks.noise import Noise
from robench.attacks.pgd import PGD
from robench.attacks.uap import UAP
from robench.attacks.uap_deepfool import aggregated
from robench.victim import Victim

from ..peers import peer
from .closed_form import binary, exact_distances, images_off_the_edge
from .networks import Linear, MatesMatter, load_digit_images, rows_seen

QUICK = {"epochs": 3, "batch_size": 32}


@pytest.fixture(scope="module")
def lessons():
    """480 of the digits that the CNN was trained on."""
    images, labels = load_digit_images()
    return images[:480], labels[:480]


def _learned(network, images, labels, epsilon, *, seed=0, **settings):
    return UAP(**settings).fit(network, images, labels, epsilons=[epsilon], seed=seed).learned(
        epsilon)


@pytest.mark.parametrize("one_logit", [False, True])
@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("optimizer", ["sign", "adam"])
def test_on_a_linear_network_one_class_is_left_along_its_weights(one_logit, label, optimizer):
    network, images, _ = binary(one_logit=one_logit)
    labels = torch.full((len(images),), label)
    weights = network.weights.detach()
    toward_1 = (weights[0] if one_logit else weights[1] - weights[0]).reshape(1, 4, 4)
    sign = 1 if label == 0 else -1
    settings = {"optimizer": optimizer, "beta": 100.0, **QUICK}
    assert torch.equal(_learned(network, images, labels, 0.1, **settings),
                       0.1 * sign * toward_1.sign())
    aim = sign * 0.1 * toward_1 / toward_1.norm()
    found = _learned(network, images, labels, 0.1, norm="l2", **settings)
    if optimizer == "sign":
        assert torch.allclose(found, aim, atol=1e-6)
    assert float(found.norm()) == pytest.approx(0.1, abs=1e-6)
    assert float((found * aim).sum()) > 0


def test_what_it_breaks_on_a_linear_network_is_known():
    """One perturbation along the weights breaks the images of one class within ε, and no other."""
    network, images, labels = binary(one_logit=False)
    away = exact_distances(network, images, labels, "linf")
    epsilon = float(away.median())
    attack = UAP(beta=100.0, **QUICK).fit(
        network, images_off_the_edge(seed=5), torch.zeros(40).long(), epsilons=[epsilon])
    result = attack(network, images, labels, epsilons=[epsilon])[0]
    assert torch.equal(result.success, (away < epsilon) & (labels == 0))
    assert 0 < int(result.success.sum()) < 40


def test_beta_cuts_off_images_that_are_lost_already():
    """Of two images, the one whose cross-entropy is above beta has no say."""
    weights = torch.tensor([[1.0, 0.0], [0.0, 0.3], [-10.0, -10.0]])
    network = Linear(weights, torch.zeros(3))
    images = torch.tensor([[0.6, 0.5], [0.5, 0.6]]).reshape(2, 1, 1, 2)
    labels = torch.tensor([0, 2])
    with torch.no_grad():
        assert functional.cross_entropy(network(images[1:]), labels[1:]) > 9
    alone = _learned(network, images[:1], labels[:1], 0.1)
    assert torch.equal(_learned(network, images, labels, 0.1), alone)
    assert torch.equal(alone, 0.1 * torch.tensor([[[-1.0, 1.0]]]))
    assert not torch.equal(_learned(network, images, labels, 0.1, beta=50.0), alone)


def _by_autograd(network, images, labels, epsilon, *, steps, step_size, beta, norm):
    """Full-batch ascent on the clipped loss, the perturbation's own gradient by autograd; on
    images inside the box."""
    delta = torch.zeros(images.shape[1:], dtype=torch.float64, requires_grad=True)
    network = network.double()
    for _ in range(steps):
        losses = functional.cross_entropy(network(images.double() + delta), labels,
                                          reduction="none")
        (slope,) = torch.autograd.grad(torch.minimum(losses, losses.new_tensor(beta)).mean(), delta)
        with torch.no_grad():
            if norm == "linf":
                delta += step_size * slope.sign()
                delta.clamp_(-epsilon, epsilon)
            else:
                delta += step_size * slope / slope.norm()
                delta *= min(1.0, epsilon / float(delta.norm()))
    return delta.detach().float()


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.1), ("l2", 0.4)])
def test_it_is_what_autograd_finds(cnn, lessons, norm, epsilon):
    images, labels = 0.4 + 0.2 * lessons[0][:64], lessons[1][:64]
    found = _learned(cnn, images, labels, epsilon, norm=norm, epochs=8, batch_size=64, beta=4.0)
    expected = _by_autograd(cnn, images, labels, epsilon, steps=8, step_size=2.5 * epsilon / 8,
                            beta=4.0, norm=norm)
    # The sign of a gradient that is all but zero is the rounding's.
    same = (found - expected).abs() < 1e-5
    assert float(same.float().mean()) > 0.95
    assert float((found - expected).abs().mean()) < 0.02 * epsilon


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.2), ("l2", 2.0)])
@pytest.mark.parametrize("optimizer", ["sign", "adam"])
def test_on_new_images_it_is_better_than_noise_and_worse_than_pgd(
    cnn, right, lessons, norm, epsilon, optimizer
):
    noise = Noise(norm=norm)(cnn, *right, epsilons=[epsilon])[0]
    own = PGD(steps=10, norm=norm)(cnn, *right, epsilons=[epsilon])[0]
    attack = UAP(norm=norm, optimizer=optimizer, batch_size=64)
    one = attack.fit(cnn, *lessons, epsilons=[epsilon])(cnn, *right, epsilons=[epsilon])[0]
    broken = [float(result.success.float().mean()) for result in (noise, one, own)]
    assert broken[1] > broken[0] + 0.2
    assert broken[2] > broken[1] + 0.1


def test_every_image_gets_the_same_perturbation(cnn, right, lessons):
    images, labels = 0.2 + 0.6 * right[0], right[1]
    attack = UAP(**QUICK).fit(cnn, *lessons, epsilons=[0.1])
    with torch.no_grad():
        correct = cnn(images).argmax(dim=1) == labels
    result = attack(cnn, images, labels, epsilons=[0.1])[0]
    added = result.adversarial - images
    assert int(correct.sum()) > 20
    assert torch.allclose(added[correct], attack.learned(0.1).expand_as(added[correct]), atol=1e-6)
    assert bool((added[~correct] == 0).all())
    assert set(result.forwards[correct].tolist()) == {1}
    assert set(result.backwards.tolist()) == {0}


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.07), ("linf", 0.3), ("l2", 0.7)])
@pytest.mark.parametrize("method", ["sgd", "deepfool"])
def test_the_ball_holds_in_float32_and_float64(cnn, right, lessons, norm, epsilon, method):
    few = lessons[0][:10], lessons[1][:10]
    attack = UAP(norm=norm, method=method, epochs=1, batch_size=8).fit(
        cnn, *few, epsilons=[epsilon])
    assert bool(attack.learned(epsilon).any())
    result = attack(cnn, *right, epsilons=[epsilon])[0]
    delta = (result.adversarial.double() - right[0].double()).flatten(1)
    order = {"linf": torch.inf, "l2": 2}[norm]
    assert float(torch.linalg.vector_norm(delta, order, dim=1).max()) <= epsilon
    assert bool((distances(right[0], result.adversarial, norm) <= epsilon).all())


@pytest.mark.parametrize("method", ["sgd", "deepfool"])
def test_the_order_of_the_images_does_not_matter(cnn, lessons, method):
    count = 24 if method == "sgd" else 10
    images, labels = lessons[0][:count].clone(), lessons[1][:count]
    images[7], images[9] = images[3], images[3]  # copies, under labels of their own
    chosen = {"method": method, "epochs": 1, "batch_size": 1}  # so that each has its turn
    whole = _learned(cnn, images, labels, 0.1, **chosen)

    @settings(max_examples=4 if method == "sgd" else 1, deadline=None)
    @given(order=st.permutations(range(count)))
    def check(order):
        assert torch.equal(_learned(cnn, images[order], labels[order], 0.1, **chosen), whole)

    check()


@pytest.mark.parametrize("method", ["sgd", pytest.param("deepfool", marks=pytest.mark.slow)])
def test_the_seed_decides_the_rest(cnn, lessons, method):
    few = lessons[0][:20], lessons[1][:20]
    settings = {"method": method, "epochs": 1, "batch_size": 8}
    one, again, other = (_learned(cnn, *few, 0.1, seed=seed, **settings) for seed in (3, 3, 4))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_each_epsilon_is_learned_on_its_own(cnn, lessons):
    attack = UAP(**QUICK).fit(cnn, *lessons, epsilons=[0.1, 0.05, 0.0])
    for epsilon in (0.0, 0.05, 0.1):
        assert torch.equal(attack.learned(epsilon), _learned(cnn, *lessons, epsilon, **QUICK))


def test_fitting_again_forgets(cnn, lessons):
    attack = UAP(**QUICK).fit(cnn, *lessons, epsilons=[0.1])
    attack.fit(cnn, *lessons, epsilons=[0.2])
    with pytest.raises(ValueError, match=r"got 0\.1, expected one that uap was fitted at \(0\.2\)"):
        attack.learned(0.1)


def test_a_network_without_gradients_is_noticed(right, lessons):
    network = Linear(torch.zeros(10, 64), torch.eye(10)[int(right[1][0])])
    attack = UAP(**QUICK).fit(network, *lessons, epsilons=[0.1, 0.0])
    result = attack(network, right[0][:1], right[1][:1], epsilons=[0.0, 0.1])
    assert [each.gradient_dead.tolist() for each in result] == [[False], [True]]


def test_what_was_learned_on_one_network_is_transferred_to_another(cnn, right, lessons):
    attack = UAP(batch_size=64).fit(cnn, *lessons, epsilons=[0.3])
    scaled = torch.nn.Sequential(cnn, torch.nn.Softmax(dim=1))
    same = attack(scaled, *right, epsilons=[0.3])[0]
    assert torch.equal(same.success, attack(cnn, *right, epsilons=[0.3])[0].success)


def test_a_network_whose_rows_mix_sees_whole_minibatches(cnn, lessons):
    network = MatesMatter(cnn)
    with rows_seen(network) as seen:
        _learned(Victim(network, rowwise=False), lessons[0][:60], lessons[1][:60], 0.1, epochs=2,
                 batch_size=40)
    assert seen == [1, 40, 20, 40, 20]  # the first: how many classes there are


@pytest.mark.slow
def test_deepfool_stops_when_enough_are_fooled(cnn, lessons):
    """The share is met on the images learned from, by a perturbation that DeepFool's steps made."""
    few = lessons[0][:20], lessons[1][:20]
    with torch.no_grad():
        clean = cnn(few[0]).argmax(dim=1)

    def fooled(passes, delta):
        found = _learned(cnn, *few, 0.35, method="deepfool", epochs=passes, delta=delta)
        with torch.no_grad():
            moved = cnn((few[0] + found).clamp(0, 1)).argmax(dim=1)
        return found, float((moved != clean).float().mean())

    once, share = fooled(1, 1.0)
    assert share > 0.2
    stopped, same = fooled(4, 0.9)
    assert share == same
    assert torch.equal(once, stopped)
    on, more = fooled(4, 1 - share - 0.01)
    assert not torch.equal(on, once)
    assert more > 0


def test_deepfool_does_not_look_at_labels(cnn, lessons):
    few = lessons[0][:8]
    one, other = (_learned(cnn, few, labels, 0.1, method="deepfool", epochs=1)
                  for labels in (lessons[1][:8], (lessons[1][:8] + 1) % 10))
    assert torch.equal(one, other)


def test_deepfool_on_a_linear_network_goes_from_boundary_to_boundary():
    """Without a bound, one image's step is the exact distance, and goes along the weights."""
    network, images, labels = binary(one_logit=False)
    away = exact_distances(network, images, labels, "l2")
    row = int(away.argmax())
    victim = Victim(network)
    for weight in network.parameters():
        weight.requires_grad_(False)
    found = aggregated(victim, images[row : row + 1], epsilon=9.0, norm="l2", epochs=1, delta=0.2,
                       random=_Still())
    assert float(found.double().norm()) == pytest.approx(1.02 * float(away[row]), rel=1e-4)
    across = network.weights[1] - network.weights[0]
    cosine = functional.cosine_similarity(found.flatten(), across, dim=0)
    assert abs(float(cosine)) == pytest.approx(1.0, abs=1e-5)


class _Still:
    """Draws for one image."""

    def uniform(self, *shape):
        return torch.zeros(1, *shape)


def test_deepfool_takes_one_image_after_another(cnn, lessons):
    """Algorithm 1 in a plain loop over single images, in the same order."""
    images, epsilon = 0.2 + 0.6 * lessons[0][:12], 0.15
    ids = sorted(content_ids(images))
    images = images[[content_ids(images).index(name) for name in ids]]
    victim = Victim(cnn)
    victim.requires_grad_(False)
    found = aggregated(victim, images, epsilon=epsilon, norm="linf", epochs=2, delta=0.0,
                       random=Draws.keyed(ids, seed=0, attack="uap", device=images.device))
    draws = Draws.keyed(ids, seed=0, attack="uap", device=images.device)
    expected, steps = torch.zeros(1, 1, 8, 8), 0
    own = victim.logits(images).argmax(dim=1)
    for _ in range(2):
        for row in draws.uniform(1)[:, 0].argsort().tolist():
            image, label = (images[row] + expected).clamp(0, 1), own[row : row + 1]
            if int(victim.logits(image).argmax(dim=1)) == int(label):
                broken = DeepFool(steps=10)(cnn, image, label, epsilons=None)[0]
                expected = (expected + broken.adversarial - image).clamp(-epsilon, epsilon)
                steps += 1
    assert 12 < steps < 24
    assert torch.allclose(found, expected[0], atol=1e-5)


@pytest.mark.slow
def test_deepfool_is_as_good_as_arts(cnn, right, lessons):
    """The same algorithm by another hand breaks no more of the same new images.

    Away from the edge of the box: ART forgets of the perturbation what is cut off from an image.
    """
    art = peer("art.attacks.evasion")
    from art.estimators.classification import PyTorchClassifier

    epsilon = 0.2
    few, labels = 0.25 + 0.5 * lessons[0][:100], lessons[1][:100]
    images = 0.25 + 0.5 * right[0]
    classifier = PyTorchClassifier(cnn, torch.nn.CrossEntropyLoss(), (1, 8, 8), 10,
                                   clip_values=(0.0, 1.0), device_type="cpu")
    theirs = art.UniversalPerturbation(
        classifier, attacker="deepfool", eps=epsilon, max_iter=2, norm="inf", delta=0.2,
        attacker_params={"max_iter": 10, "epsilon": 0.02, "nb_grads": 10, "verbose": False},
        verbose=False)
    state = random.getstate()
    random.seed(0)  # the order of its images
    theirs.generate(few.numpy())
    random.setstate(state)
    ours = UAP(method="deepfool", epochs=2).fit(cnn, few, labels, epsilons=[epsilon])
    shares = []
    for found in (torch.zeros(1, 8, 8), torch.from_numpy(theirs.noise).float().reshape(1, 8, 8),
                  ours.learned(epsilon)):
        with torch.no_grad():
            broken = cnn((images + found).clamp(0, 1)).argmax(dim=1) != cnn(images).argmax(dim=1)
        shares.append(float(broken.float().mean()))
    assert shares[1] > 0.2
    assert shares[2] > shares[1] - 0.1
