"""Every attack that ships with robench finds what is there (F8) in every norm that it offers, not
only in that of its card, which test_own.py looks at."""

from __future__ import annotations

from typing import Any

import pytest

from robench.attacks.balls import NORMS, Norm
from robench.registry import Card, Registry
from robench.testing.attack_case import Case
from robench.testing.attack_finding import FINDS, finds
from robench.testing.core import attempt

NATIVE = {card.name: card for card in Registry.discover().own("attack")
          if not card.is_provider and not card.name.startswith("art/")}
# Settings of a norm that replace those of the card's `check_apart`.
_MORE: dict[tuple[str, Norm], dict[str, Any]] = {
    # 250 queries, which are enough in L∞, break none of the four images; 500 two, 750 three.
    ("square", "l2"): {"queries": 1000},
}


def _offers(card: Card, norm: Norm) -> bool:
    try:
        Registry.discover().get("attack", card.name).load()(norm=norm)
    except ValueError:
        return False
    return True


OTHERS = [(name, norm) for name, card in sorted(NATIVE.items()) if "norm" in card.params
          for norm in NORMS if norm != card.traits["norm"] and _offers(card, norm)]


def _case(name: str, norm: Norm, **more: Any) -> Case:
    card, cls = NATIVE[name], Registry.discover().get("attack", name).load()
    params = {**card.check, "norm": norm}
    return Case(lambda **apart: cls(**{**params, **apart}), {**card.traits, "norm": norm},
                {FINDS: {**card.check_apart.get(FINDS, {}), **more}})


def test_the_other_norms_are_all_that_there_are() -> None:
    assert {norm for name, norm in OTHERS if name == "pgd"} == {"l2", "l1"}
    assert {norm for name, norm in OTHERS if name == "fmn"} == {"linf", "l1", "l0"}
    several = {name for name, card in NATIVE.items() if "norm" in card.params}
    assert {name for name, _ in OTHERS} == several


@pytest.mark.slow
@pytest.mark.parametrize(("name", "norm"), OTHERS)
def test_finds_what_is_there_in_another_norm(name: str, norm: Norm) -> None:
    case = _case(name, norm, **_MORE.get((name, norm), {}))
    assert case.norm == norm
    check = attempt(FINDS, lambda: finds(case))
    assert check.passed, check.message
    assert check.applies, check.message
