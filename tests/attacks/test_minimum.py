"""What holds for the minimum-norm attacks that follow gradients, in every one of their norms."""

import pytest
import torch

from robench.attacks.cw import CW
from robench.attacks.deepfool import DeepFool
from robench.attacks.fab import FAB
from robench.attacks.fmn import FMN
from robench.attacks.lbfgs import LBFGS
from robench.victim import Victim

from .networks import MatesMatter

ATTACKS = {
    "deepfool-l2": lambda: DeepFool(),
    "deepfool-linf": lambda: DeepFool(norm="linf"),
    "fab-linf": lambda: FAB(steps=6),
    "fab-l2": lambda: FAB(steps=6, norm="l2"),
    "fab-l1-restarts": lambda: FAB(steps=3, norm="l1", restarts=2),
    "fab-targeted": lambda: FAB(steps=3, targeted=True, targets=2),
    "fmn-linf": lambda: FMN(steps=15, norm="linf"),
    "fmn-l2": lambda: FMN(steps=15),
    "fmn-l1": lambda: FMN(steps=15, norm="l1"),
    "fmn-l0": lambda: FMN(steps=15, norm="l0"),
    "fmn-random": lambda: FMN(steps=15, target="random"),
    "cw": lambda: CW(steps=20, binary_search_steps=3, learning_rate=0.1, initial_const=1.0),
    "lbfgs": lambda: LBFGS(steps=15, binary_search_steps=3, initial_const=1.0),
}
every = pytest.mark.parametrize("make", ATTACKS.values(), ids=ATTACKS)
KEYS = ("adversarial", "success", "distance", "prediction", "margin", "forwards", "backwards",
        "first_success")


@every
def test_the_bits_do_not_depend_on_the_batch(make, cnn_and_36):
    """The 36 images are more than a tile, so that others share theirs."""
    cnn, images, labels = cnn_and_36
    whole = make()(cnn, images, labels, epsilons=[99.0])[0]
    assert int(whole.success.sum()) > 6
    for rows in (torch.tensor([35]), torch.arange(34, 0, -3)):
        part = make()(cnn, images[rows], labels[rows], epsilons=[99.0])[0]
        for key in KEYS:
            assert torch.equal(getattr(part, key), getattr(whole, key)[rows]), key


@every
def test_one_run_gives_the_whole_curve(make, cnn_and_8):
    cnn, images, labels = cnn_and_8
    attack = make()
    epsilons = [0.0, 1.0, 5.0, 99.0, *([0.05, 0.2] if attack.norm != "l0" else [7.0])]
    results = attack(cnn, images, labels, epsilons=sorted(epsilons))
    nearest = torch.where(results[-1].success, results[-1].distance, torch.inf)
    for result in results:
        assert torch.equal(result.success, nearest <= result.epsilon)
        assert torch.equal(result.forwards, results[0].forwards)
        assert bool((result.distance <= result.epsilon).all())


@every
def test_images_of_which_some_were_wrong_may_share_a_network_that_mixes_them(make, cnn_and_8):
    cnn, images, labels = cnn_and_8
    network = MatesMatter(cnn)
    wrong = labels.clone()
    wrong[2] = (wrong[2] + 1) % 10
    result = make()(Victim(network, rowwise=False), images, wrong, epsilons=[99.0])[0]
    assert not bool(result.success[2])
    assert torch.equal(result.adversarial[2], images[2])
    assert float(result.adversarial.min()) >= 0
    assert float(result.adversarial.max()) <= 1


@every
def test_a_budget_ends_it(make, cnn_and_8):
    cnn, images, labels = cnn_and_8
    result = make().spending(14)(cnn, images, labels, epsilons=[99.0])[0]
    unbudgeted = make()(cnn, images, labels, epsilons=[99.0])[0]
    assert bool((result.forwards + result.backwards < unbudgeted.forwards + unbudgeted.backwards
                 ).all())
