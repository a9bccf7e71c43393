import pytest

from robench.attacks.fmn import FMN


@pytest.mark.parametrize(("settings", "message"), [
    ({"norm": "l3"}, r"norm: got 'l3', expected linf, l2, l1 or l0"),
    ({"steps": True}, r"steps: got True, expected a whole number ≥ 1"),
    ({"step_size": 0}, r"step_size: got 0, expected a number > 0"),
    ({"final_step_size": float("inf")}, r"final_step_size: got inf, expected a number > 0"),
    ({"gamma": 1.5}, r"gamma: got 1.5, expected a number ≥ 0 and ≤ 1"),
    ({"final_gamma": -1}, r"final_gamma: got -1, expected a number ≥ 0 and ≤ 1"),
    ({"overshoot": "much"}, r"overshoot: got 'much', expected a number ≥ 0"),
    ({"target": "nearest"}, r"target: got 'nearest', expected least-likely, random, next"),
])
def test_settings_that_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        FMN(**settings)


def test_a_target_that_the_network_does_not_have(cnn_and_8):
    network, images, labels = cnn_and_8
    with pytest.raises(ValueError, match="target: got class 10, the network has 10"):
        FMN(target=10)(network, images, labels, epsilons=[1.0])
