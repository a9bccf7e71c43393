import pytest
import torch

from robench.attacks.balls import distances
from robench.attacks.cw import CW
from robench.attacks.losses import margin
from robench.attacks.tradeoff import Tradeoff

from ..peers import peer
from .closed_form import binary, exact_distances
from .minimum import TRAINED, network_and_images
from .networks import images_seen

QUICK = {"steps": 50, "binary_search_steps": 5, "learning_rate": 0.1, "initial_const": 0.1}


def _adam(network, image, label, *, const, steps, learning_rate):
    """One descent on one image by torch.optim, with the images that it looks at."""
    origin = ((2 * image - 1) * 0.999999).atanh()
    anchor = (origin.tanh() + 1) / 2
    offset = torch.zeros_like(image, requires_grad=True)
    optimizer = torch.optim.Adam([offset], lr=learning_rate)
    looked_at = []
    for _ in range(steps):
        point = ((origin + offset).tanh() + 1) / 2
        looked_at.append(point.detach()[0])
        excess = margin(network(point), label).clamp_min(0)
        loss = (point - anchor).square().sum() + const * excess.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return torch.stack(looked_at)


def test_a_search_is_adam_on_every_image_of_its_own(cnn, cnn_and_8):
    _, images, labels = cnn_and_8
    attack = CW(steps=12, binary_search_steps=1, initial_const=2.0, learning_rate=0.05,
                abort_early=False)
    with images_seen(cnn) as seen:
        attack(cnn, images, labels, epsilons=[9.0])
    ours = torch.stack([torch.from_numpy(each[:8]) for each in seen[1:13]], dim=1)
    for row in range(8):
        theirs = _adam(cnn, images[row : row + 1], labels[row : row + 1], const=2.0, steps=12,
                       learning_rate=0.05)
        assert float((ours[row] - theirs).abs().max()) < 1e-4, row


@pytest.mark.parametrize("trained", TRAINED)
def test_the_distances_are_foolboxs(cnn, digits, trained):
    foolbox = peer("foolbox")
    network, images, labels = network_and_images(trained, cnn, digits, 16)
    reference = foolbox.attacks.L2CarliniWagnerAttack(
        steps=50, binary_search_steps=5, stepsize=0.1, initial_const=0.1, abort_early=False)
    theirs = distances(images, reference.run(
        foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu"), images,
        foolbox.criteria.Misclassification(labels),
    ), "l2")
    result = CW(**QUICK, abort_early=False)(network, images, labels, epsilons=[9.0])[0]
    assert bool(result.success.all())
    assert float(result.distance.median()) <= 1.02 * float(theirs.median())
    assert float((result.distance <= 1.02 * theirs).float().mean()) >= 0.9


def test_on_a_linear_network_it_comes_near_the_boundary():
    network, images, labels = binary(one_logit=False)
    exact = exact_distances(network, images, labels, "l2")
    attack = CW(steps=100, learning_rate=0.01, initial_const=0.01, binary_search_steps=7)
    result = attack(network, images, labels, epsilons=[9.0])[0]
    far = exact > 0.02
    assert bool(result.success[far].all())
    ratio = result.distance.double()[far] / exact[far]
    assert float(ratio.min()) > 0.999
    assert float(ratio.median()) < 1.03


def test_early_ends_cost_less_and_lose_little(cnn, cnn_and_8):
    _, images, labels = cnn_and_8
    whole, early = (
        CW(**QUICK, abort_early=abort)(cnn, images, labels, epsilons=[9.0])[0]
        for abort in (False, True)
    )
    assert set(whole.backwards.tolist()) == {250}
    assert len(set(early.backwards.tolist())) > 1
    assert int(early.backwards.max()) <= 250
    assert float(early.distance.median()) <= 1.15 * float(whole.distance.median())


def test_confidence_asks_for_a_margin(cnn, cnn_and_8):
    _, images, labels = cnn_and_8
    with images_seen(cnn) as seen:
        CW(**QUICK, confidence=2.0, abort_early=False)(cnn, images, labels, epsilons=[9.0])
    with torch.no_grad():
        margins = torch.stack([
            margin(cnn(torch.from_numpy(each[:8])), labels) for each in seen[1:-1]
        ])
    assert bool((margins.amin(dim=0) < -1.9).all())
    assert float(margins.amin(dim=0).median()) > -6


def test_it_steers_to_its_target(cnn, cnn_and_8):
    _, images, labels = cnn_and_8
    result = CW(**QUICK, target="next")(cnn, images, labels, epsilons=[9.0])[0]
    assert bool(result.success.all())
    untargeted = CW(**QUICK)(cnn, images, labels, epsilons=[9.0])[0]
    assert float(result.distance.median()) > float(untargeted.distance.median())
    assert int((result.prediction == (labels + 1) % 10).sum()) > int(
        (untargeted.prediction == (labels + 1) % 10).sum())


def test_the_search_over_constants():
    tradeoff = Tradeoff.start(3, 0.1, torch.device("cpu"))
    every = torch.ones(3, dtype=torch.bool)
    tradeoff.update(every, torch.tensor([True, False, False]))
    assert tradeoff.value.tolist() == pytest.approx([0.05, 1.0, 1.0])
    tradeoff.update(torch.tensor([True, True, False]), torch.tensor([False, True, True]))
    assert tradeoff.value.tolist() == pytest.approx([0.075, 0.55, 1.0])
    tradeoff.repeat_best(every)
    assert tradeoff.value.tolist() == pytest.approx([0.1, 1.0, 1.0])
    for _ in range(30):
        tradeoff.update(torch.tensor([False, False, True]), torch.zeros(3, dtype=torch.bool))
    assert float(tradeoff.value[2]) == pytest.approx(1e10)
