from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.attacks.art import ArtBIM
from robench.attacks.fgsm import FGSM
from robench.attacks.noise import Noise
from robench.attacks.pgd import BIM, PGD
from robench.attacks.result import AttackResult

from .native_cases import NAMES as NATIVE
from .native_cases import UNIT, made, ready
from .networks import rows_seen
from .stand_in_attacks import Guesses, OneStep

ATTACKS = [FGSM(), BIM(steps=4), PGD(steps=4), PGD(steps=4, norm="l2"), Noise(draws=2),
           ArtBIM(steps=2), OneStep(), Guesses()]
NAMES = [f"{type(attack).__name__}-{attack.norm}" for attack in ATTACKS]


def _same(one: AttackResult, other: AttackResult) -> bool:
    values = [(value, getattr(other, name)) for name, value in vars(one).items()
              if isinstance(value, torch.Tensor)]
    return one.epsilon == other.epsilon and all(torch.equal(*pair) for pair in values)


@pytest.mark.parametrize("attack", ATTACKS, ids=NAMES)
@settings(max_examples=4, deadline=None)
@given(epsilons=st.lists(st.floats(0, 1.5), min_size=2, max_size=4))
def test_more_epsilon_never_breaks_less(attack, epsilons, cnn_and_36):
    cnn, images, labels = cnn_and_36
    _assert_more_breaks_no_less(attack(cnn, images, labels, epsilons=sorted(epsilons)))


@pytest.mark.parametrize("name", NATIVE)
@settings(max_examples=2, deadline=None)
@given(factors=st.lists(st.floats(0, 6), min_size=2, max_size=3))
def test_by_any_registered_attack(name, factors, cnn_and_8):
    cnn, images, labels = cnn_and_8
    attack = made(name)
    epsilons = [factor * UNIT[attack.norm] for factor in sorted(factors)]
    if attack.norm == "l0":
        epsilons = [float(round(epsilon)) for epsilon in epsilons]
    _assert_more_breaks_no_less(
        ready(attack, cnn, epsilons)(cnn, images, labels, epsilons=epsilons)
    )


def _assert_more_breaks_no_less(results: list[AttackResult]) -> None:
    for smaller, larger in pairwise(results):
        assert bool((larger.success | ~smaller.success).all())
        won = smaller.success
        assert torch.equal(larger.adversarial[won], smaller.adversarial[won])
        assert torch.equal(larger.forwards[won], smaller.forwards[won])


@pytest.mark.parametrize("attack", ATTACKS, ids=NAMES)
def test_without_the_ladder_each_epsilon_is_on_its_own(attack, cnn, right):
    images, labels = right[0][:40], right[1][:40]
    together = attack(cnn, images, labels, epsilons=[0.05, 0.1, 0.4], ladder=False)
    for result in together:
        alone = attack(cnn, images, labels, epsilons=[result.epsilon])[0]
        assert _same(result, alone)


@pytest.mark.parametrize("attack", ATTACKS, ids=NAMES)
def test_with_the_ladder_the_survivors_fare_as_without(attack, cnn, right):
    images, labels = right[0][:40], right[1][:40]
    climbing = attack(cnn, images, labels, epsilons=[0.05, 0.1, 0.4])
    apart = attack(cnn, images, labels, epsilons=[0.05, 0.1, 0.4], ladder=False)
    before = torch.zeros(40, dtype=torch.bool)
    for one, other in zip(climbing, apart, strict=True):
        assert torch.equal(one.adversarial[~before], other.adversarial[~before])
        assert torch.equal(one.forwards[~before], other.forwards[~before])
        before = one.success


def test_the_ladder_saves_work(cnn, right):
    epsilons = [0.1, 0.2, 0.4]
    rows = {}
    for ladder in (True, False):
        with rows_seen(cnn) as seen:
            BIM(steps=10)(cnn, *right, epsilons=epsilons, ladder=ladder)
        rows[ladder] = sum(seen)
    assert rows[True] < 0.9 * rows[False]


def test_where_all_are_broken_nothing_more_is_run(cnn, right):
    first = BIM(steps=10)(cnn, *right, epsilons=[1.0])[0]
    assert bool(first.success.all())
    with rows_seen(cnn) as one:
        BIM(steps=10)(cnn, *right, epsilons=[1.0])
    with rows_seen(cnn) as two:
        results = BIM(steps=10)(cnn, *right, epsilons=[1.0, 2.0])
    assert one == two
    assert torch.equal(results[1].adversarial, results[0].adversarial)
