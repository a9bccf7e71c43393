import pytest

from robench.attacks.fab import FAB


@pytest.mark.parametrize(("settings", "message"), [
    ({"norm": "l0"}, r"norm: got 'l0', expected linf, l2 or l1"),
    ({"steps": 0}, r"steps: got 0, expected a whole number ≥ 1"),
    ({"restarts": 0}, r"restarts: got 0, expected a whole number ≥ 1"),
    ({"targets": 1.0}, r"targets: got 1.0, expected a whole number ≥ 1"),
    ({"targeted": "yes"}, r"targeted: got 'yes', expected true or false"),
    ({"alpha_max": 2}, r"alpha_max: got 2, expected a number ≥ 0 and ≤ 1"),
    ({"eta": 0.9}, r"eta: got 0.9, expected a number ≥ 1"),
    ({"beta": -0.1}, r"beta: got -0.1, expected a number ≥ 0 and ≤ 1"),
])
def test_settings_that_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        FAB(**settings)
