"""What is no attack at all."""

from __future__ import annotations

from typing import Any

import pytest
import small_attacks as attacks
import torch

import robench
from robench.testing import check_attack


class Nothing(robench.Attack):
    pass


class OtherNorm(attacks.Sign):
    norm = "l3"  # type: ignore[assignment]


class Raises(attacks.Sign):
    def perturb(self, *rest: Any, **named: Any) -> torch.Tensor:
        raise ZeroDivisionError("steps")


class WrongShape(attacks.Sign):
    def perturb(self, victim: Any, images: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
        return images[:, 0]


@pytest.mark.parametrize(
    ("thing", "params", "check", "told"),
    [
        (torch.nn.Linear, {}, "is an attack", "expected a subclass of robench.Attack"),
        (lambda: attacks.Sign(), {}, "is an attack", "expected a subclass of robench.Attack"),
        (Nothing, {}, "is an attack", "a class without perturb"),
        (attacks.Sign, {"steps": 3}, "constructs", "unexpected keyword argument 'steps'"),
        (OtherNorm, {}, "constructs", "got norm 'l3', expected one of linf, l2, l1, l0"),
        (Raises, {}, "attacks", "raised ZeroDivisionError: steps (test_failing_attacks_errors.py:"),
        (WrongShape, {}, "attacks", "WrongShape.perturb returned [6, 8, 8], expected [6, 1, 8, 8]"),
    ],
)
def test_the_first_failure_is_told_and_ends_the_checks(
    thing: Any, params: dict[str, Any], check: str, told: str
) -> None:
    *before, last = check_attack(thing, **params)
    assert (last.name, last.passed) == (check, False)
    assert told in last.message
    assert all(check.passed for check in before)
