import pytest

from robench.attacks.art import ArtBIM, ArtFGSM, ArtPGD
from robench.attacks.fgsm import FGSM
from robench.attacks.noise import Noise
from robench.attacks.pgd import BIM, PGD

STEPPED = [BIM, PGD, ArtBIM, ArtPGD]


@pytest.mark.parametrize("attack", [FGSM, Noise, ArtFGSM, *STEPPED])
@pytest.mark.parametrize("norm", ["l1", "l0", "Linf", 2, None])
def test_an_unknown_norm(attack, norm):
    with pytest.raises(ValueError, match=r"norm: got .*, expected linf or l2"):
        attack(norm=norm)


@pytest.mark.parametrize("attack", STEPPED)
@pytest.mark.parametrize("steps", [0, -1, 2.5, True, "4", None])
def test_steps_that_are_no_count(attack, steps):
    with pytest.raises(ValueError, match=r"steps: got .*, expected a whole number ≥ 1"):
        attack(steps=steps)


@pytest.mark.parametrize("attack", STEPPED)
@pytest.mark.parametrize("step_size", [0, -0.1, float("nan"), float("inf"), True, "0.1"])
def test_a_step_size_that_is_none(attack, step_size):
    with pytest.raises(ValueError, match=r"step_size: got .*, expected a number > 0"):
        attack(step_size=step_size)


@pytest.mark.parametrize("draws", [0, -3, 1.0, False])
def test_draws_that_are_no_count(draws):
    with pytest.raises(ValueError, match=r"draws: got .*, expected a whole number ≥ 1"):
        Noise(draws=draws)


@pytest.mark.parametrize("attack", [FGSM, Noise, ArtFGSM, *STEPPED])
def test_settings_have_names(attack):
    with pytest.raises(TypeError):
        attack("linf")
