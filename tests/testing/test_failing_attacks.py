"""Attacks that break their contract are caught, by the check that says so."""

from __future__ import annotations

import random as python_random
from typing import Any

import numpy as np
import pytest
import small_attacks as attacks
import torch

import robench
from robench.testing import Check, check_attack


def failed(checks: list[Check]) -> set[str]:
    return {check.name for check in checks if not check.passed}


GOOD = [attacks.Sign, attacks.Nearest, attacks.Pixels, attacks.Mass]


@pytest.mark.parametrize("cls", GOOD)
def test_a_good_attack_of_any_norm_and_budget_passes_every_check(cls: Any) -> None:
    checks = check_attack(cls)
    assert failed(checks) == set()
    assert len(checks) == 25


BAD = {
    attacks.Swallows: {"raises what the model raises"},
    attacks.GlobalNoise: {"deterministic under a seed", "independent of batch and order",
                          "leaves the global random state"},
    attacks.GlobalNumpy: {"leaves the global random state"},
    attacks.ByBatch: {"independent of batch and order"},
    attacks.Remembers: {"deterministic under a seed"},
    attacks.InPlace: {"attacks"},
    attacks.Weak: {"finds what is there"},
    attacks.ThreeClasses: {"two classes", "one logit", "finds what is there"},
    attacks.Grey: {"colour images"},
    attacks.Outside: {"inside the ball and the box"},
    attacks.Lies: {"says what is true", "finds what is there"},
    attacks.Uncounted: {"counts its passes"},
    attacks.Touches: {"epsilon 0 changes nothing", "leaves wrong images alone",
                      "inside the ball and the box"},
    attacks.LeavesEval: {"leaves the model as it was"},
    attacks.NoLadder: {"larger epsilon, no fewer broken", "finds what is there"},
    attacks.SecretGradient: {"keeps to its access"},
    attacks.SecretScores: {"keeps to its access", "finds what is there"},
}
# What is untrue of a result is untrue on any network.
UNTRUE = {"inside the ball and the box", "says what is true"}
ALSO = UNTRUE | {"two classes", "one logit", "three classes", "a thousand classes",
                 "colour images"}


@pytest.mark.parametrize("cls", BAD)
def test_a_bad_attack_fails_its_check_and_no_other(cls: Any) -> None:
    found, expected = failed(check_attack(cls)), BAD[cls]
    assert expected <= found
    assert found <= (expected | ALSO if expected & UNTRUE else expected)


def test_an_attack_whose_card_says_otherwise_is_caught() -> None:
    card = robench.card(summary="signs", traits={"budget": "minimum"})
    checks = check_attack(card(type("Signs", (attacks.Sign,), {})))
    assert failed(checks) == {"constructs"}
    assert checks[-1].message == "its card says budget: minimum, but it is fixed"


def test_settings_that_are_not_keyword_only_are_caught() -> None:
    class Positional(attacks.Sign):
        def __init__(self, share: float = 1.0) -> None:
            super().__init__(share=share)

    assert failed(check_attack(Positional)) == {"settings"}


def test_the_callers_random_state_is_left_alone() -> None:
    def state() -> tuple[Any, ...]:
        return (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(),
                python_random.getstate())

    before = state()
    check_attack(attacks.GlobalNoise)
    assert state() == before
