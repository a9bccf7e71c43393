import pytest

from robench.attacks.art import ArtBIM, ArtFGSM, ArtPGD
from robench.attacks.fgsm import FGSM
from robench.attacks.noise import Noise
from robench.attacks.pgd import BIM, PGD

STEPPED = [BIM, PGD, ArtBIM, ArtPGD]


@pytest.mark.parametrize("attack", [FGSM, ArtFGSM, ArtBIM, ArtPGD])
@pytest.mark.parametrize("norm", ["l1", "l0", "Linf", 2, None])
def test_an_unknown_norm(attack, norm):
    with pytest.raises(ValueError, match=r"norm: got .*, expected linf or l2$"):
        attack(norm=norm)


@pytest.mark.parametrize("attack", [PGD, BIM, Noise])
@pytest.mark.parametrize("norm", ["l0", "L1", 1, None])
def test_an_unknown_norm_where_l1_is_one(attack, norm):
    with pytest.raises(ValueError, match=r"norm: got .*, expected linf, l2 or l1$"):
        attack(norm=norm)


@pytest.mark.parametrize("restarts", [0, -1, 1.5, True, None])
def test_restarts_that_are_no_count(restarts):
    with pytest.raises(ValueError, match=r"restarts: got .*, expected a whole number ≥ 1"):
        PGD(restarts=restarts)


def test_restarts_from_the_same_place():
    with pytest.raises(ValueError, match=r"restarts: got 2 without random_start, expected 1"):
        PGD(restarts=2, random_start=False)


@pytest.mark.parametrize("loss", ["cw", "CE", None, 1])
def test_an_unknown_loss(loss):
    with pytest.raises(ValueError, match=r"loss: got .*, expected ce, margin or dlr$"):
        PGD(loss=loss)


@pytest.mark.parametrize("attack", [PGD, BIM])
@pytest.mark.parametrize("target", ["likely", -1, 1.0, True])
def test_an_unknown_target(attack, target):
    with pytest.raises(ValueError, match=r"target: got .*, expected least-likely, random, next"):
        attack(target=target)


@pytest.mark.parametrize("quantile", [-0.1, 1.1, float("nan"), True, "0.9", None])
def test_a_quantile_that_is_no_share(quantile):
    with pytest.raises(ValueError, match=r"quantile: got .*, expected a number ≥ 0 and ≤ 1"):
        PGD(quantile=quantile)


@pytest.mark.parametrize("kind", ["normal", "salt", None, 0])
def test_an_unknown_kind_of_noise(kind):
    expected = "expected uniform, gaussian, speckle or salt-and-pepper"
    with pytest.raises(ValueError, match=rf"kind: got .*, {expected}"):
        Noise(kind=kind)


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
