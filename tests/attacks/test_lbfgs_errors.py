import pytest

from robench.attacks.lbfgs import LBFGS


@pytest.mark.parametrize(("settings", "message"), [
    ({"steps": 0}, r"steps: got 0, expected a whole number ≥ 1"),
    ({"binary_search_steps": 0}, r"binary_search_steps: got 0, expected a whole number ≥ 1"),
    ({"initial_const": -1}, r"initial_const: got -1, expected a number > 0"),
    ({"memory": False}, r"memory: got False, expected a whole number ≥ 1"),
    ({"target": "farthest"}, r"target: got 'farthest', expected .*; or likeliest"),
    ({"target": None}, r"target: got None, expected .*; or likeliest"),
])
def test_settings_that_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LBFGS(**settings)
