"""Cards: their settings, and the cards that ship."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from robench.registry import KINDS, Card, Registry
from robench.registry.card import attached, card
from robench.registry.plugins import GIVEN_BY_ROBENCH
from robench.registry.registry import own_cards
from robench.resources import registry_folder

SHIPPED = [card for kind in KINDS for card in Registry.discover().own(kind)]
FILES = sorted(
    path for path in registry_folder().glob("*/*.yaml") if path.parent.name != "published"
)


def ids(cards: list[Card]) -> list[str]:
    return [f"{card.kind}-{card.name}" for card in cards]


def factory_of(card: Card) -> Any:
    module, _, attribute = card.factory.partition(":")
    return getattr(importlib.import_module(module), attribute)


def as_written(default: Any) -> Any:
    return list(default) if isinstance(default, tuple) else default  # YAML has no tuples


def a_card(**params: Any) -> Card:
    return Card(name="thing", kind="attack", summary="", factory="m:f", params=params)


def test_there_are_cards_of_every_kind() -> None:
    assert {card.kind for card in SHIPPED} == set(KINDS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_file_holds_cards_of_its_folders_kind_with_names_of_their_own(path: Any) -> None:
    documents = yaml.safe_load(path.read_text(encoding="utf-8"))
    cards = [Card(**fields) for fields in documents]
    assert f"{cards[0].kind}s" == path.parent.name
    assert len({(card.kind, card.name) for card in cards}) == len(documents)
    for found, fields in zip(cards, documents, strict=True):
        assert own_cards(registry_folder())[found.kind, found.name] == found
        assert "version" in fields, f"{found.name}: the version is written out"


@pytest.mark.parametrize("card", SHIPPED, ids=ids(SHIPPED))
def test_settings_and_defaults_are_those_of_the_factory(card: Card) -> None:
    parameters = inspect.signature(factory_of(card)).parameters.values()
    preset = getattr(factory_of(card), "keywords", {})  # of a functools.partial
    given = {*GIVEN_BY_ROBENCH[card.kind], *(("name",) if card.is_provider else ()), *preset}
    settings = [each for each in parameters
                if each.name not in given and each.kind is not each.VAR_KEYWORD]
    assert [each.name for each in settings if each.kind is not each.KEYWORD_ONLY] == []
    assert {each.name: as_written(each.default) for each in settings} == card.params
    assert list(card.params) == [each.name for each in settings]
    assert card.open_params == any(each.kind is each.VAR_KEYWORD for each in parameters)


@pytest.mark.parametrize("card", SHIPPED, ids=ids(SHIPPED))
def test_defaults_are_of_the_types_the_factory_has(card: Card) -> None:
    parameters = inspect.signature(factory_of(card)).parameters
    for name, default in card.params.items():
        assert type(default) is type(as_written(parameters[name].default)), name


@pytest.mark.parametrize("card", SHIPPED, ids=ids(SHIPPED))
def test_a_summary_is_one_line(card: Card) -> None:
    assert card.summary
    assert "\n" not in card.summary


ATTACKS = [card for card in SHIPPED if card.kind == "attack" and not card.is_provider]


@pytest.mark.parametrize("card", ATTACKS, ids=ids(ATTACKS))
def test_an_attacks_traits_are_those_of_its_class(card: Card) -> None:
    made = factory_of(card)()
    told = {name: card.traits[name] for name in ("norm", "budget", "access")}
    assert told == {"norm": made.norm, "budget": made.budget, "access": made.access}
    assert card.version == type(made).version


DEFENSES = [card for card in SHIPPED if card.kind == "defense"]


@pytest.mark.parametrize("card", DEFENSES, ids=ids(DEFENSES))
def test_a_defense_says_whether_it_is_differentiable_and_stochastic(card: Card) -> None:
    told = {name: card.traits[name] for name in ("differentiable", "stochastic")}
    assert {type(value) for value in told.values()} == {bool}
    for name, value in told.items():
        assert getattr(factory_of(card), name, value) is value


def test_settings_are_the_defaults_overridden() -> None:
    assert a_card(steps=40, norm="linf").settings({"steps": 7}) == {"steps": 7, "norm": "linf"}
    assert a_card().settings({}) == {}


def test_a_whole_number_may_stand_for_a_float_and_becomes_one() -> None:
    settled = a_card(rate=0.1, steps=1, flag=True, none=None).settings(
        {"rate": 1, "steps": 2, "flag": False, "none": 3}
    )
    assert settled == {"rate": 1.0, "steps": 2, "flag": False, "none": 3}
    assert type(settled["rate"]) is float
    assert type(settled["steps"]) is int
    assert settled["flag"] is False


def test_a_list_may_stand_for_a_tuple() -> None:
    assert a_card(size=(3, 3)).settings({"size": [5, 5]}) == {"size": [5, 5]}


def test_open_settings_are_passed_on() -> None:
    opened = Card(name="timm/*", kind="model", summary="", factory="m:f",
                  params={"pretrained": False}, open_params=True)
    assert opened.settings({"drop_rate": 0.1}) == {"pretrained": False, "drop_rate": 0.1}
    assert opened.is_provider


@given(st.dictionaries(st.text(min_size=1), st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(),
    st.lists(st.integers()), st.dictionaries(st.text(), st.integers()),
)))
def test_defaults_are_always_settings(params: dict[str, Any]) -> None:
    assert a_card(**params).settings(params) == params


def test_an_attached_card_is_found_and_changes_nothing_else() -> None:
    @card(summary="a thing", version=3, paper={"key": "x"}, notes=["one"])
    def thing() -> int:
        return 7

    assert thing() == 7
    assert attached(thing) == {"summary": "a thing", "version": 3, "paper": {"key": "x"},
                               "published": {}, "traits": {}, "check": {}, "check_apart": {},
                               "notes": ("one",)}
    assert attached(len) == {}
