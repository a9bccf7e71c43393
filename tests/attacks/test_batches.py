"""Nothing that is found of an image depends on the images that share its batch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robench.attacks.art import ArtFGSM, ArtPGD
from robench.attacks.fgsm import FGSM
from robench.attacks.noise import Noise
from robench.attacks.pgd import BIM, PGD
from robench.attacks.result import AttackResult

from .native_cases import NAMES as NATIVE
from .native_cases import UNIT, made, ready
from .stand_in_attacks import Guesses, OneStep, Shrinking

ATTACKS = [FGSM(), FGSM(norm="l2"), BIM(steps=3), PGD(steps=3), PGD(steps=3, norm="l2"),
           Noise(draws=2), Noise(norm="l2"), OneStep(), Guesses(), Shrinking(), ArtFGSM()]
NAMES = [f"{type(attack).__name__}-{attack.norm}" for attack in ATTACKS]


def _assert_rows(whole: list[AttackResult], rows: Tensor, part: list[AttackResult]) -> None:
    for one, other in zip(whole, part, strict=True):
        for name, values in vars(one).items():
            if isinstance(values, Tensor):
                assert torch.equal(values[rows], getattr(other, name)), name


@pytest.mark.parametrize("attack", ATTACKS, ids=NAMES)
@settings(max_examples=3, deadline=None)
@given(data=st.data())
def test_any_order_and_any_part(attack, data, cnn_and_36):
    cnn, images, labels = cnn_and_36
    epsilons = [0.05, 0.3]
    whole = attack(cnn, images, labels, epsilons=epsilons)
    shuffled = data.draw(st.permutations(range(len(images))))
    rows = torch.tensor(shuffled[: data.draw(st.integers(1, len(images)))])
    _assert_rows(whole, rows, attack(cnn, images[rows], labels[rows], epsilons=epsilons))


@pytest.mark.parametrize("name", NATIVE)
def test_of_any_registered_attack_too(name, cnn_and_36):
    cnn, images, labels = cnn_and_36
    attack = made(name)
    epsilons = [UNIT[attack.norm], 3 * UNIT[attack.norm]]
    whole = ready(attack, cnn, epsilons)(cnn, images, labels, epsilons=epsilons)

    @settings(max_examples=3, deadline=None)
    @given(shuffled=st.permutations(range(36)), count=st.integers(1, 35))
    def any_part(shuffled, count):
        rows = torch.tensor(shuffled[:count])
        _assert_rows(whole, rows, attack(cnn, images[rows], labels[rows], epsilons=epsilons))

    any_part()


@pytest.mark.parametrize("attack", ATTACKS, ids=NAMES)
@pytest.mark.parametrize("size", [7, 33])
def test_any_batch_size(attack, size, cnn, digits):
    images, labels = digits[0][:40], digits[1][:40]
    whole = attack(cnn, images, labels, epsilons=[0.1])
    for rows in torch.arange(len(images)).split(size):
        _assert_rows(whole, rows, attack(cnn, images[rows], labels[rows], epsilons=[0.1]))


def test_arts_random_start_too(cnn, right):
    images, labels = right[0][:6], right[1][:6]
    attack = ArtPGD(steps=3)
    whole = attack(cnn, images, labels, epsilons=[0.1])
    for rows in (torch.tensor([4, 1]), torch.tensor([5])):
        _assert_rows(whole, rows, attack(cnn, images[rows], labels[rows], epsilons=[0.1]))


@pytest.mark.parametrize("attack", [PGD(steps=2), Noise()])
def test_image_ids_key_the_draws(attack, cnn, right):
    images, labels = right[0][:4], right[1][:4]
    names = ["a", "b", "c", "d"]
    whole = attack(cnn, images, labels, epsilons=[0.1], image_ids=names)
    other = attack(cnn, images, labels, epsilons=[0.1], image_ids=names[::-1])
    assert not torch.equal(whole[0].adversarial, other[0].adversarial)
    rows = torch.tensor([2, 0])
    part = attack(cnn, images[rows], labels[rows], epsilons=[0.1], image_ids=["c", "a"])
    _assert_rows(whole, rows, part)
