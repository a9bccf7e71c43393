"""Epsilons that an attack has of its own, in the units of its norm."""

from __future__ import annotations

import math
from typing import Any

import pytest

from robench.errors import UserError
from robench.matrix import UNBOUNDED, Epsilon, load
from robench.plan import DataFacts, Plan
from robench.planning import make_plan
from robench.registry import Card, Registry
from robench.runner.record import resolved

FACTS = DataFacts("f" * 64, num_classes=10, in_channels=1, image_size=(8, 8), train=100,
                  validation=10, test=50)
OWN = {(kind, card.name): card for kind in ("attack", "dataset", "model", "recipe", "defense")
       for card in Registry.discover().own(kind)}


def counting(name: str, budget: str) -> Card:
    """A card of an attack that counts pixels."""
    return OWN["attack", "fgsm"].model_copy(update={
        "name": name, "traits": {"norm": "l0", "budget": budget}, "params": {},
    })


REGISTRY = Registry(
    {**OWN, ("attack", "fewest"): counting("fewest", "minimum"),
     ("attack", "some"): counting("some", "fixed")}, [],
)


def asked(*attacks: Any, **changed: Any) -> dict[str, Any]:
    return {"name": "m", "datasets": ["digits"], "models": ["small-cnn"],
            "attacks": list(attacks), "epsilons": [0.1, 0.2], **changed}


def planned(*attacks: Any, **changed: Any) -> Plan:
    return make_plan(load(asked(*attacks, **changed), REGISTRY), {"digits": FACTS}, {})


def sizes(plan: Plan) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for cell in plan.cells:
        found.setdefault(cell.attack.label, []).append(cell.epsilon.value)
    return found


def test_own_epsilons_stand_for_the_matrixs() -> None:
    plan = planned("fgsm", {"pgd": {"norm": "l2"}, "label": "far", "epsilons": [3, "1/2", 1.5]})
    assert sizes(plan) == {"fgsm": [0.1, 0.2], "far": [0.5, 1.5, 3.0]}


def test_a_search_for_the_fewest_pixels_runs_once() -> None:
    plan = planned("fewest")
    assert sizes(plan) == {"fewest": [math.inf]}
    assert plan.cells[0].epsilon == UNBOUNDED == Epsilon(math.inf, "∞")
    assert plan.cells[0].label.endswith("ε ∞")
    assert plan.ladders[0].minimum


def test_pixels_are_counted_in_whole_numbers() -> None:
    plan = planned({"fewest": {}, "epsilons": [20, 5]}, {"some": {}, "epsilons": [1]})
    assert sizes(plan) == {"fewest": [5.0, 20.0], "some": [1.0]}


def test_the_same_attack_at_other_epsilons_is_another_item() -> None:
    plan = planned({"fgsm": {}, "label": "a"}, {"fgsm": {}, "label": "b", "epsilons": [0.2]})
    assert sizes(plan) == {"a": [0.1, 0.2], "b": [0.2]}


def test_own_epsilons_can_be_excluded() -> None:
    plan = planned("fgsm", {"pgd": {"norm": "l2"}, "epsilons": [1.5, 3]},
                   exclude=[{"attack": "pgd", "epsilon": 3}])
    assert sizes(plan)["pgd"] == [1.5]


def test_a_resolved_matrix_can_be_read_again() -> None:
    first = asked("fgsm", {"fewest": {}, "label": "few", "epsilons": [5, 20]}, "fewest",
                  {"pgd": {"norm": "l2"}, "epsilons": ["1/2", 3]})
    matrix = load(first, REGISTRY)
    again = load(resolved(matrix) | {"recipes": ["standard"]}, REGISTRY)
    for one, other in zip(matrix.attacks, again.attacks, strict=True):
        assert one.epsilons == other.epsilons
        assert one.meaning() == other.meaning()


@pytest.mark.parametrize(("attack", "said"), [
    ("some", ["attack 'some' counts pixels (norm l0)", "some: {}, epsilons: [1, 5]"]),
    ({"some": {}, "epsilons": [0.1]}, ["attacks[0].epsilons[0]: epsilon, got 0.1",
                                       "whole number of pixels"]),
    ({"some": {}, "epsilons": [True]}, ["epsilon, got True"]),
    ({"fgsm": {}, "epsilons": []}, ["epsilons, got []", "at least one"]),
    ({"fgsm": {}, "epsilons": 0.1}, ["epsilons, got 0.1", "a list"]),
    ({"fgsm": {}, "epsilons": [1.5]}, ["epsilon, got 1.5", "(0, 1]"]),
    ({"fgsm": {}, "epsilons": [0.1, "1/10"]}, ["stands twice"]),
    ({"pgd": {"norm": "l2"}, "epsilons": [-1]}, ["epsilon, got -1", "a number above 0"]),
    ({"pgd": {"norm": "l2"}, "epsilons": [math.inf]}, ["epsilon, got inf"]),
])
def test_what_cannot_be_run_at(attack: Any, said: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        planned(attack)
    for part in said:
        assert part in str(caught.value)


def test_only_attacks_have_epsilons() -> None:
    with pytest.raises(UserError, match="not an axis item"):
        planned("fgsm", models=[{"small-cnn": {}, "epsilons": [0.1]}])
