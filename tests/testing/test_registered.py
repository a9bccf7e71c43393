"""What `robench check` checks, for a name."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest
from torch import nn

from robench.registry import Card, Kind, Plugin, Registry
from robench.testing.registered import Thing, check_registered, find


def doubling(network: nn.Module) -> nn.Module:
    return network


def plugin(kind: Kind, name: str, distribution: str, target: str = "doubling") -> Plugin:
    value = target if ":" in target else f"{__name__}:{target}"
    return Plugin(kind, name, distribution, "1.0", EntryPoint(name, value, f"robench.{kind}s"))


def own(kind: Kind, name: str) -> Card:
    return Card(name=name, kind=kind, summary="", factory=f"{__name__}:doubling")


@pytest.fixture
def registry() -> Registry:
    cards = [own("attack", "pgd"), own("recipe", "none"), own("defense", "none"),
             own("model", "zoo/*"), own("model", "pgd2")]
    found = [plugin("defense", "twice", "My_Robench.Plugin"),
             plugin("model", "twice", "My_Robench.Plugin"),
             plugin("model", "broken", "other", "no.module:x"),
             plugin("attack", "pgd", "other")]
    return Registry({(card.kind, card.name): card for card in cards}, found)


def names(things: list[Thing]) -> list[str]:
    return [f"{thing.kind}/{thing.name}" for thing in things]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, ["defense/twice", "model/twice", "model/broken", "attack/pgd"]),
        ("my-robench-plugin", ["defense/twice", "model/twice"]),
        ("My_Robench.Plugin", ["defense/twice", "model/twice"]),
        ("twice", ["model/twice", "defense/twice"]),
        ("defense/twice", ["defense/twice"]),
        ("none", ["defense/none", "recipe/none"]),
        ("recipe/none", ["recipe/none"]),
        ("zoo/net", ["model/zoo/net"]),
        ("model/zoo/net", ["model/zoo/net"]),
        ("pgd2", ["model/pgd2"]),
    ],
)
def test_a_distribution_or_a_name_is_found(
    registry: Registry, asked: str | None, expected: list[str]
) -> None:
    assert names(find(registry, asked)) == expected


def test_things_know_where_they_come_from(registry: Registry) -> None:
    assert find(registry, "recipe/none") == [Thing("recipe", "none", "robench")]
    assert find(registry, "other")[1].origin == "robench and other 1.0"
    assert find(registry, "model/twice")[0].origin == "My_Robench.Plugin 1.0"


def test_without_plugins_there_is_nothing_to_check() -> None:
    assert find(Registry({}, []), None) == []


def test_what_loads_is_checked_by_its_kind(registry: Registry) -> None:
    checks = list(check_registered(registry, find(registry, "defense/twice")[0]))
    assert (checks[0].name, checks[0].message) == ("loads", f"{__name__}:doubling")
    assert all(check.passed for check in checks)
    assert "eval mode reaches the network" in [check.name for check in checks]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("model/broken", "cannot be loaded: ModuleNotFoundError: No module named 'no'"),
        ("attack/pgd", "claimed by two distributions: robench and other 1.0"),
    ],
)
def test_what_does_not_load_fails_with_its_reason(
    registry: Registry, asked: str, told: str
) -> None:
    (check,) = check_registered(registry, find(registry, asked)[0])
    assert (check.name, check.passed) == ("loads", False)
    assert told in check.message


def test_a_card_whose_traits_say_otherwise_counts(registry: Registry) -> None:
    wrong = Card(name="wrong", kind="defense", summary="", factory=f"{__name__}:doubling",
                 traits={"stochastic": "sometimes"})
    checks: Any = check_registered(Registry({("defense", "wrong"): wrong}, []),
                                   Thing("defense", "wrong", "robench"))
    assert [check.name for check in checks if not check.passed] == ["traits"]
