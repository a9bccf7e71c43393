import pytest
import torch

from robench.attacks.jsma import JSMA

NO_SHARES = [0, -0.1, 1.5, float("nan"), float("inf"), True, "0.1", None]


@pytest.mark.parametrize("theta", [*NO_SHARES, 0.0005])
def test_a_theta_that_is_none(theta):
    with pytest.raises(ValueError, match=r"theta: got .*, expected a number from 0.001 to 1"):
        JSMA(theta=theta)


@pytest.mark.parametrize("gamma", NO_SHARES)
def test_a_gamma_that_is_no_share(gamma):
    with pytest.raises(ValueError, match=r"gamma: got .*, expected a number above 0 to 1"):
        JSMA(gamma=gamma)


@pytest.mark.parametrize("direction", ["up", "", None, 1])
def test_an_unknown_direction(direction):
    with pytest.raises(ValueError, match=r"direction: got .*, expected increasing or decreasing"):
        JSMA(direction=direction)


@pytest.mark.parametrize("name", ["changes_per_feature", "max_steps", "pairs_per_step"])
@pytest.mark.parametrize("count", [0, -1, 2.0, True, "4"])
def test_counts_that_are_none(name, count):
    with pytest.raises(ValueError, match=rf"{name}: got .*, expected a whole number ≥ 1"):
        JSMA(**{name: count})


@pytest.mark.parametrize("target", ["every", -1, 1.0, True, None])
def test_a_target_that_is_none(target):
    with pytest.raises(ValueError, match=r"target: got .*, expected .*all, or likeliest"):
        JSMA(target=target)


def test_a_class_that_the_network_does_not_have(cnn_and_8):
    with pytest.raises(ValueError, match=r"target: got class 10, the network has 10"):
        JSMA(target=10)(*cnn_and_8, epsilons=[8])


def test_a_gamma_that_allows_no_pair(cnn_and_8):
    with pytest.raises(ValueError, match=r"gamma: got 0.03, which is 1 of the 64 features"):
        JSMA(gamma=0.03)(*cnn_and_8, epsilons=[8])


def test_settings_have_names():
    with pytest.raises(TypeError):
        JSMA(0.1)


def test_no_images_are_no_error(cnn):
    none = torch.zeros(0, 1, 8, 8)
    assert len(JSMA()(cnn, none, torch.zeros(0).long(), epsilons=[8])[0]) == 0


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_disjoint_is_true_or_false(value):
    with pytest.raises(ValueError, match=r"disjoint: got .*, expected true or false"):
        JSMA(disjoint=value)
