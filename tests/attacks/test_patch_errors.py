import pytest

from robench.attacks.patch import Patch


@pytest.mark.parametrize("name", ["steps", "locations"])
@pytest.mark.parametrize("count", [0, -1, 2.0, True, "4", None])
def test_counts_that_are_none(name, count):
    with pytest.raises(ValueError, match=rf"{name}: got .*, expected a whole number ≥ 1"):
        Patch(**{name: count})


@pytest.mark.parametrize("step_size", [0, -0.1, float("nan"), True, "0.1"])
def test_a_step_size_that_is_none(step_size):
    with pytest.raises(ValueError, match=r"step_size: got .*, expected a number > 0"):
        Patch(step_size=step_size)


@pytest.mark.parametrize("target", ["all", -1, 1.5, True])
def test_a_target_that_is_none(target):
    with pytest.raises(ValueError, match=r"target: got .*, expected .* or a class number"):
        Patch(target=target)


def test_settings_have_names():
    with pytest.raises(TypeError):
        Patch(40)
