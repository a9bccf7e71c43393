import pytest

from robench.attacks.apgd import APGD, APGDTargeted


@pytest.mark.parametrize("attack", [APGD, APGDTargeted])
@pytest.mark.parametrize(("settings", "message"), [
    ({"norm": "l0"}, "norm: got 'l0', expected linf or l2"),
    ({"steps": 0}, "steps: got 0, expected a whole number ≥ 1"),
    ({"steps": 2.5}, "steps: got 2.5"),
    ({"restarts": 0}, "restarts: got 0"),
    ({"eot": 0}, "eot: got 0"),
    ({"rho": -0.1}, "rho: got -0.1, expected a number ≥ 0 and ≤ 1"),
    ({"rho": 1.1}, "rho: got 1.1"),
    ({"rho": float("nan")}, "rho: got nan"),
])
def test_settings_that_are_no_attack(attack, settings, message):
    with pytest.raises(ValueError, match=message):
        attack(**settings)


@pytest.mark.parametrize(("settings", "message"), [
    ({"loss": "hinge"}, "loss: got 'hinge', expected ce, margin or dlr"),
    ({"target": "nearest"}, "target: got 'nearest'"),
    ({"target": -1}, "target: got -1"),
])
def test_losses_and_targets_that_are_not_there(settings, message):
    with pytest.raises(ValueError, match=message):
        APGD(**settings)


@pytest.mark.parametrize("targets", [0, True, "all"])
def test_numbers_of_targets_that_are_none(targets):
    with pytest.raises(ValueError, match=f"targets: got {targets!r}"):
        APGDTargeted(targets=targets)


def test_a_class_that_the_network_does_not_have(cnn, right):
    with pytest.raises(ValueError, match="target: got class 10, the network has 10"):
        APGD(target=10)(cnn, *right, epsilons=[0.1])
