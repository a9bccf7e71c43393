import pytest

from robench.attacks.momentum import DIFGSM, MIFGSM, TIFGSM

ALL = pytest.mark.parametrize("attack", [MIFGSM, DIFGSM, TIFGSM])
NOT_A_NUMBER = [float("nan"), float("inf"), True, "1", None]


@ALL
@pytest.mark.parametrize(("name", "values", "expected"), [
    ("steps", [0, -1, 2.5, True, None], "a whole number ≥ 1"),
    ("step_size", [0, -0.1, "1", float("inf")], "a number > 0 in pixel units"),
    ("norm", ["l1", "l0", None], "linf or l2"),
    ("decay", [-0.1, *NOT_A_NUMBER], "a number ≥ 0"),
    ("target", ["likely", -1, 1.5], "least-likely, random, next or a class number"),
])
def test_settings_of_all(attack, name, values, expected):
    for value in values:
        with pytest.raises(ValueError, match=rf"^{name}: got .*, expected {expected}$"):
            attack(**{name: value})


@pytest.mark.parametrize("attack", [DIFGSM, TIFGSM])
@pytest.mark.parametrize(("name", "values", "expected"), [
    ("diversity", [-0.1, 1.1, *NOT_A_NUMBER], "a number ≥ 0 and ≤ 1"),
    ("resize", [0, 0.0, -0.5, 1.1, *NOT_A_NUMBER], "a number > 0 and ≤ 1"),
])
def test_settings_of_the_diversity(attack, name, values, expected):
    for value in values:
        with pytest.raises(ValueError, match=rf"^{name}: got .*, expected {expected}$"):
            attack(**{name: value})


@pytest.mark.parametrize(("value", "expected"), [
    (0, "a whole number ≥ 1"), (2.5, "a whole number ≥ 1"), (True, "a whole number ≥ 1"),
    (4, "an odd number"),
])
def test_a_kernel_without_a_middle(value, expected):
    with pytest.raises(ValueError, match=f"^kernel_size: got .*, expected {expected}$"):
        TIFGSM(kernel_size=value)


@ALL
def test_settings_have_names(attack):
    with pytest.raises(TypeError):
        attack(10)


@pytest.mark.parametrize("attack", [MIFGSM(target=10), TIFGSM(target=10)])
def test_a_class_that_the_network_does_not_have(attack, cnn_and_8):
    cnn, images, labels = cnn_and_8
    with pytest.raises(ValueError, match="target: got class 10, the network has 10"):
        attack(cnn, images, labels, epsilons=[0.1])
