"""The conformance of an attack: what any attack owes its caller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robench.attacks.balls import NORMS
from robench.attacks.base import Attack
from robench.testing.attack_case import Case
from robench.testing.attack_conduct import CONDUCT
from robench.testing.attack_results import RESULTS
from robench.testing.core import Check, expect, run, run_first
from robench.testing.stated import check_settings, check_traits, traits_of

_BUDGETS = ("fixed", "minimum")
_ACCESS = ("gradient", "scores", "decision")


def check_attack(cls: type[Attack], **params: Any) -> list[Check]:
    """Check an attack with settings `params`, on networks and images that are made for it.

    It attacks eight images of 8×8 pixels at three epsilons some fifteen times: give an attack
    of many steps fewer of them.
    """
    return attack_checks(cls, params, traits_of(cls, "attack"))


def attack_checks(
    cls: type[Attack], params: Mapping[str, Any], traits: Mapping[str, Any]
) -> list[Check]:
    """As `check_attack`, with the traits of a card that is not attached to the class."""
    case = Case(lambda: cls(**params), traits)
    checks, whole = run_first({
        "is an attack": lambda: _is_attack(cls),
        "settings": lambda: check_settings(cls, "attack", params, keyword_only=True),
        "constructs": lambda: _constructs(case),
        "attacks": lambda: f"{len(case.results[0])} images, {case.norm} up to "
                           f"{case.task.epsilon:g}",
    }, harmless=("settings",))
    return checks + run({**RESULTS, **CONDUCT}, case) if whole else checks


def _is_attack(cls: Any) -> str:
    fits = isinstance(cls, type) and issubclass(cls, Attack)
    expect(fits, repr(cls), "a subclass of robench.Attack")
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    expect(not missing, f"a class without {', '.join(missing)}", "the method")
    return ""


def _constructs(case: Case) -> str:
    attack = case.attack
    for name, allowed in (("norm", NORMS), ("budget", _BUDGETS), ("access", _ACCESS)):
        value = getattr(attack, name)
        expect(value in allowed, f"{name} {value!r}", f"one of {', '.join(allowed)}")
    check_traits(case.traits, {"budget": attack.budget, "access": attack.access,
                               "norm": attack.norm})
    return f"{attack.norm}, budget {attack.budget}, access {attack.access}"
