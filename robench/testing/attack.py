"""The conformance of an attack: what any attack owes its caller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from robench.attacks.balls import NORMS
from robench.attacks.base import Attack
from robench.registry.card import attached
from robench.testing.attack_case import Case
from robench.testing.attack_conduct import CONDUCT
from robench.testing.attack_gradients import GRADIENTS
from robench.testing.attack_results import APART, RESULTS
from robench.testing.core import Check, expect, run, run_first
from robench.testing.stated import check_settings, check_traits, checked_with, traits_of

_BUDGETS = ("fixed", "minimum")
_ACCESS = ("gradient", "scores", "decision")


def check_attack(cls: type[Attack], **params: Any) -> list[Check]:
    """Check an attack with settings `params`, on networks and images that are made for it.

    It attacks some images of 8×8 pixels at three epsilons some twenty times: give an attack of
    many steps fewer of them, here or by `@robench.card(check={"steps": 5})`. It must break
    networks that are known to break: where this takes more steps than all else, they are stated
    as `check_apart={"finds what is there": {"steps": 50}}`, and so they can be for "a thousand
    classes". An attack that looks at some perturbations only says so in its traits (`confined`,
    see `robench.testing.breakable`).
    """
    return list(attack_checks(
        cls, checked_with(cls, params), traits_of(cls, "attack"),
        apart=attached(cls).get("check_apart", {}),
    ))


def attack_checks(
    cls: type[Attack], params: Mapping[str, Any], traits: Mapping[str, Any], *,
    apart: Mapping[str, Mapping[str, Any]] | None = None,
) -> Iterator[Check]:
    """As `check_attack`, each check as it ends, with the traits of a card that is not attached to
    the class, and the settings that it states for some checks `apart`."""
    case = Case(lambda **more: cls(**{**params, **more}), traits, apart or {})
    whole = yield from run_first({
        "is an attack": lambda: _is_attack(cls),
        "settings": lambda: check_settings(cls, "attack", params, keyword_only=True),
        "constructs": lambda: _constructs(case),
        "attacks": lambda: f"{len(case.results[0])} images, {case.norm} up to "
                           f"{case.task.epsilon:g}",
    }, harmless=("settings",))
    if whole:
        yield from run({**RESULTS, **CONDUCT, **GRADIENTS}, case)


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
    unknown = sorted(set(case.apart) - set(APART))
    expect(not unknown, f"settings apart for {', '.join(unknown)}", f"for {' or '.join(APART)}")
    return f"{attack.norm}, budget {attack.budget}, access {attack.access}"
