import pytest

from robench.attacks.boundary import Boundary


@pytest.mark.parametrize("steps", [0, -1, 2.5, True, "4", None])
def test_steps_that_are_no_count(steps):
    with pytest.raises(ValueError, match=r"steps: got .*, expected a whole number ≥ 1"):
        Boundary(steps=steps)


@pytest.mark.parametrize("name", ["sphere_step", "source_step"])
@pytest.mark.parametrize("value", [0, -0.1, float("nan"), float("inf"), True, "0.1", None])
def test_lengths_that_are_none(name, value):
    with pytest.raises(ValueError, match=rf"{name}: got .*, expected a number > 0"):
        Boundary(**{name: value})


@pytest.mark.parametrize("value", [1, 0.5, -2, float("inf"), False, "1.5"])
def test_an_adaptation_that_does_not_adapt(value):
    with pytest.raises(ValueError, match=r"adaptation: got .*, expected a number > 1"):
        Boundary(adaptation=value)
