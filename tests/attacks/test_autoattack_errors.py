import pytest

from robench.attacks.autoattack import AutoAttack, AutoAttackRand

from .networks import BreaksDown, BreaksDownError


@pytest.mark.parametrize("attack", [AutoAttack, AutoAttackRand])
@pytest.mark.parametrize(("settings", "message"), [
    ({"norm": "l0"}, "norm: got 'l0', expected linf or l2"),
    ({"steps": 0}, "steps: got 0, expected a whole number ≥ 1"),
    ({"steps": True}, "steps: got True"),
])
def test_settings_that_are_no_attack(attack, settings, message):
    with pytest.raises(ValueError, match=message):
        attack(**settings)


@pytest.mark.parametrize(("attack", "name"), [
    (AutoAttack, "targets"), (AutoAttack, "queries"), (AutoAttackRand, "eot"),
])
@pytest.mark.parametrize("value", [0, -3, 1.5])
def test_numbers_that_are_none(attack, name, value):
    with pytest.raises(ValueError, match=f"{name}: got {value}"):
        attack(**{name: value})


@pytest.mark.parametrize("call", [2, 20, 80, 250])
def test_what_the_network_raises_comes_out_of_every_member(cnn, right, call):
    network = BreaksDown(cnn, call=call)
    with pytest.raises(BreaksDownError):
        AutoAttack(steps=10, targets=2, queries=200)(
            network, right[0][:8], right[1][:8], epsilons=[0.001]
        )
