import pytest

from robench.attacks.spsa import SPSA


@pytest.mark.parametrize("name", ["steps", "samples"])
@pytest.mark.parametrize("value", [0, -1, 2.5, True, "4", None])
def test_settings_that_are_no_count(name, value):
    with pytest.raises(ValueError, match=rf"{name}: got .*, expected a whole number ≥ 1"):
        SPSA(**{name: value})


@pytest.mark.parametrize("name", ["delta", "learning_rate"])
@pytest.mark.parametrize("value", [0, -0.1, float("nan"), float("inf"), True, "0.1", None])
def test_lengths_that_are_none(name, value):
    with pytest.raises(ValueError, match=rf"{name}: got .*, expected a number > 0"):
        SPSA(**{name: value})


def test_settings_have_names():
    with pytest.raises(TypeError):
        SPSA(10)
