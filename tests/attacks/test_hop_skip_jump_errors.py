import pytest

from robench.attacks.hop_skip_jump import HopSkipJump


@pytest.mark.parametrize("norm", ["l1", "l0", "Linf", 2, None])
def test_an_unknown_norm(norm):
    with pytest.raises(ValueError, match=r"norm: got .*, expected linf or l2"):
        HopSkipJump(norm=norm)


@pytest.mark.parametrize("name", ["steps", "samples", "max_samples"])
@pytest.mark.parametrize("value", [0, -1, 2.5, True, "4", None])
def test_settings_that_are_no_count(name, value):
    with pytest.raises(ValueError, match=rf"{name}: got .*, expected a whole number ≥ 1"):
        HopSkipJump(**{name: value})


@pytest.mark.parametrize("gamma", [0, -1, float("nan"), float("inf"), True, "1", None])
def test_a_gamma_that_is_none(gamma):
    with pytest.raises(ValueError, match=r"gamma: got .*, expected a number > 0"):
        HopSkipJump(gamma=gamma)
