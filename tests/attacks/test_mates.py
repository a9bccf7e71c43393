"""A victim whose rows depend on their batch mates keeps its whole batch, always."""

import pytest
import torch

from robench.attacks.apgd import APGD
from robench.attacks.art import ArtBIM, ArtPGD
from robench.attacks.cw import CW
from robench.attacks.fgsm import FGSM
from robench.attacks.jsma import JSMA
from robench.attacks.lbfgs import LBFGS
from robench.attacks.noise import Noise
from robench.attacks.pgd import BIM, PGD
from robench.victim import Victim

from .networks import MatesMatter, rows_seen
from .stand_in_attacks import Guesses, OneStep, Shrinking

ATTACKS = [FGSM(), BIM(steps=5), PGD(steps=5), Noise(draws=3), OneStep(), Guesses(), Shrinking(),
           ArtBIM(steps=5), ArtPGD(steps=5)]
NAMES = [type(attack).__name__ for attack in ATTACKS]


@pytest.mark.parametrize("attack", ATTACKS, ids=NAMES)
@pytest.mark.parametrize("ladder", [True, False])
def test_no_image_leaves_the_batch(attack, ladder, cnn, digits):
    images, labels = digits[0], digits[1].clone()
    labels[:20] = (labels[:20] + 1) % 10
    network = MatesMatter(cnn)
    with rows_seen(network) as seen:
        results = attack(Victim(network, rowwise=False), images, labels,
                         epsilons=[0.0, 0.05, 0.4], ladder=ladder)
    assert set(seen) == {len(images)}
    assert int(results[-1].success.sum()) > 0


@pytest.mark.parametrize("attack", ATTACKS, ids=NAMES)
def test_epsilon_zero_breaks_nothing(attack, cnn, digits):
    images, labels = digits[0][:30], digits[1][:30].clone()
    labels[::2] = (labels[::2] + 1) % 10
    victim = Victim(MatesMatter(cnn), rowwise=False)
    result = attack(victim, images, labels, epsilons=[0.0])[0]
    assert not bool(result.success.any())
    assert torch.equal(result.adversarial, images)
    assert torch.equal(result.prediction, victim.logits(images).argmax(dim=1))


def test_wrong_images_are_in_the_batch_and_stay_as_they_are(cnn, digits):
    images, labels = digits[0], digits[1].clone()
    labels[:20] = (labels[:20] + 1) % 10
    victim = Victim(MatesMatter(cnn), rowwise=False)
    wrong = victim.logits(images).argmax(dim=1) != labels
    for result in PGD(steps=5)(victim, images, labels, epsilons=[0.1, 0.2]):
        assert torch.equal(result.adversarial[wrong], images[wrong])
        assert not bool(result.success[wrong].any())
        assert set(result.forwards[wrong].tolist()) == {0}


def test_a_network_that_does_not_mix_gives_the_same_either_way(cnn, digits):
    compacted = BIM(steps=10)(Victim(cnn), *digits, epsilons=[0.1, 0.3])
    whole = BIM(steps=10)(Victim(cnn, rowwise=False), *digits, epsilons=[0.1, 0.3])
    for one, other in zip(compacted, whole, strict=True):
        assert torch.equal(one.success, other.success)
        assert torch.equal(one.forwards, other.forwards)
        assert torch.equal(one.first_success, other.first_success)
        assert torch.allclose(one.adversarial, other.adversarial, rtol=0, atol=1e-6)


@pytest.mark.parametrize("attack", [
    CW(steps=20, binary_search_steps=2), JSMA(theta=1.0), JSMA(pairs_per_step=4, target="next"),
    LBFGS(steps=8, binary_search_steps=2),
], ids=lambda attack: attack.name)
def test_what_is_computed_for_the_others_sake_is_not_counted(attack, cnn, digits):
    compacted, whole = (
        attack(Victim(cnn, rowwise=rowwise), digits[0][:32], digits[1][:32], epsilons=None)[0]
        for rowwise in (True, False)
    )
    assert torch.equal(compacted.success, whole.success)
    assert torch.equal(compacted.forwards, whole.forwards)
    assert torch.equal(compacted.backwards, whole.backwards)
    assert torch.equal(compacted.first_success, whole.first_success)
    assert len(set(whole.forwards.tolist())) > 1


def test_a_candidate_that_few_draws_fool_is_not_shown_for_the_others_sake(cnn, digits):
    compacted, whole = (
        APGD(steps=8, eot=3)(Victim(cnn, rowwise=rowwise), *digits, epsilons=[0.1])[0]
        for rowwise in (True, False)
    )
    assert 0 < int(whole.success.sum()) < len(digits[1])
    assert torch.equal(compacted.success, whole.success)
    assert torch.equal(compacted.forwards, whole.forwards)
    assert torch.equal(compacted.first_success, whole.first_success)
