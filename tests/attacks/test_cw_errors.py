import pytest

from robench.attacks.cw import CW


@pytest.mark.parametrize(("settings", "message"), [
    ({"steps": 0}, r"steps: got 0, expected a whole number ≥ 1"),
    ({"binary_search_steps": 1.5}, r"binary_search_steps: got 1.5, expected a whole number ≥ 1"),
    ({"confidence": -1}, r"confidence: got -1, expected a number ≥ 0"),
    ({"initial_const": 0}, r"initial_const: got 0, expected a number > 0"),
    ({"learning_rate": float("nan")}, r"learning_rate: got nan, expected a number > 0"),
    ({"abort_early": 1}, r"abort_early: got 1, expected true or false"),
    ({"target": -2}, r"target: got -2, expected least-likely, random, next"),
])
def test_settings_that_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        CW(**settings)


def test_a_target_that_the_network_does_not_have(cnn_and_8):
    network, images, labels = cnn_and_8
    with pytest.raises(ValueError, match="target: got class 12, the network has 10"):
        CW(target=12, steps=1)(network, images, labels, epsilons=[1.0])
