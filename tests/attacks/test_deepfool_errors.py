import pytest

from robench.attacks.deepfool import DeepFool


@pytest.mark.parametrize(("settings", "message"), [
    ({"norm": "l1"}, r"norm: got 'l1', expected linf or l2"),
    ({"steps": 0}, r"steps: got 0, expected a whole number ≥ 1"),
    ({"overshoot": -0.1}, r"overshoot: got -0.1, expected a number ≥ 0"),
    ({"overshoot": float("nan")}, r"overshoot: got nan, expected a number ≥ 0"),
    ({"candidates": 1}, r"candidates: got 1, expected at least 2"),
    ({"reach": 0.5}, r"reach: got 0.5, expected a number ≥ 1"),
    ({"reach": float("inf")}, r"reach: got inf, expected a number ≥ 1"),
    ({"reach": "all"}, r"reach: got 'all', expected a number ≥ 1"),
    ({"candidates": 2.5}, r"candidates: got 2.5, expected a whole number ≥ 1"),
])
def test_settings_that_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        DeepFool(**settings)
