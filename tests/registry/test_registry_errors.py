"""Mistakes in names, settings and cards are told with what was meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from robench.errors import UserError
from robench.registry import Card, Registry
from robench.registry.registry import own_cards

PGD = Card(name="pgd", kind="attack", summary="", factory="m:f",
           params={"steps": 40, "step_size": None, "rate": 0.1, "norm": "linf",
                   "random_start": True, "sizes": [1], "limit": {}})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"stpes": 3}, "attack 'pgd' has no setting 'stpes'\n  expected one of budget, limit, "
                       "norm, random_start, rate, sizes, step_size, steps; did you mean 'steps'?"),
        ({"bugdet": 30}, "has no setting 'bugdet'\n  expected one of budget, limit, norm, "
                         "random_start, rate, sizes, step_size, steps; did you mean 'budget'?"),
        ({"epochs": 3}, "has no setting 'epochs'\n  expected one of"),
        ({"steps": "many"}, "attack 'pgd', setting 'steps', got 'many'\n  expected a whole "
                            "number (the default is 40)"),
        ({"steps": 2.5}, "got 2.5\n  expected a whole number"),
        ({"steps": True}, "got True\n  expected a whole number"),
        ({"rate": "0.1"}, "got '0.1'\n  expected a number (the default is 0.1)"),
        ({"rate": True}, "got True\n  expected a number"),
        ({"norm": 2}, "got 2\n  expected a word"),
        ({"random_start": "no"}, "got 'no'\n  expected true or false"),
        ({"random_start": 0}, "got 0\n  expected true or false"),
        ({"sizes": 3}, "got 3\n  expected a list"),
        ({"limit": [1]}, "got [1]\n  expected a mapping"),
    ],
)
def test_an_unfit_setting_is_told(given: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as caught:
        PGD.settings(given, where="m.yaml attacks[0]")
    assert str(caught.value).startswith("m.yaml attacks[0]: ")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ({"check": {"stpes": 3}}, "check: attack 'pgd' has no setting 'stpes'\n  expected one of "),
        ({"check": {"steps": "few"}}, "check: attack 'pgd', setting 'steps', got 'few'\n  "
                                      "expected a whole number (the default is 40)"),
        ({"check_apart": {"finds what is there": {"nrom": "l2"}}},
         "check_apart: finds what is there: attack 'pgd' has no setting 'nrom'\n"),
    ],
)
def test_settings_for_checks_that_are_none_are_told(
    stated: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        Card(**{**PGD.model_dump(), **stated})
    assert str(caught.value).startswith(told)
    folder = tmp_path / "attacks"
    folder.mkdir()
    (folder / "pgd.yaml").write_text(yaml.safe_dump({**PGD.model_dump(), "notes": [], **stated}))
    with pytest.raises(UserError) as caught:
        own_cards(tmp_path)
    assert str(caught.value).startswith(f"{folder / 'pgd.yaml'} card 1: {told}")


def test_a_thing_without_settings_says_so() -> None:
    bare = Card(name="none", kind="defense", summary="", factory="m:f")
    with pytest.raises(UserError, match="expected none: it has no settings"):
        bare.settings({"quality": 3})


def test_an_unknown_name_comes_with_the_nearest() -> None:
    registry = Registry({("attack", "pgd"): PGD}, [])
    with pytest.raises(UserError) as caught:
        registry.get("attack", "pdg", where="m.yaml attacks[0]")
    assert str(caught.value) == (
        "m.yaml attacks[0]: unknown attack 'pdg'\n  did you mean 'pgd'?"
    )
    with pytest.raises(UserError, match="unknown model 'pgd'\n  expected none"):
        registry.get("model", "pgd")


@pytest.mark.parametrize("name", ["zoo/", "zoo", "/x", "other/x"])
def test_a_provider_needs_a_name_after_the_slash(name: str) -> None:
    zoo = Card(name="zoo/*", kind="model", summary="", factory="m:f")
    with pytest.raises(UserError, match="unknown model"):
        Registry({("model", "zoo/*"): zoo}, []).get("model", name)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "Upper"}, {"name": "two words"}, {"name": ""}, {"name": "a/b/c"},
        {"name": "-dash"}, {"name": "*"}, {"name": "a/*b"},
        {"kind": "metric"}, {"version": 0}, {"version": "new"}, {"colour": "red"},
        {"summary": None}, {"params": [1]},
    ],
)
def test_an_unfit_card_is_refused(fields: dict[str, Any]) -> None:
    sound = {"name": "a", "kind": "attack", "summary": "s", "factory": "m:f"}
    Card(**sound)
    with pytest.raises(ValidationError):
        Card(**{**sound, **fields})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- {name: a, kind: attack, summary: s}", "one.yaml card 1: not a card"),
        ("- {name: a, kind: attack, summary: s, factory: 'm:f'}\n- 7", "one.yaml card 2: not a"),
        ("- {name: a, kind: model, summary: s, factory: 'm:f'}", "got \"model 'a'\""),
        ("- &a {name: a, kind: attack, summary: s, factory: 'm:f'}\n- *a", "got \"attack 'a'\""),
    ],
)
def test_a_file_that_holds_no_cards_is_told_with_its_place(
    tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "attacks").mkdir()
    (tmp_path / "attacks" / "one.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        own_cards(tmp_path)
    assert told in str(caught.value)


@pytest.mark.parametrize(("name", "said"), [
    ("art/pgdd", "did you mean 'art/pgd'"),
    ("art/adversarial-patch", "it learns a patch"),
    ("art/BrendelBethge", "does not fit an image classifier: ART has it only where numba"),
])
def test_an_attack_of_art_that_is_not_offered(name: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        Registry.discover().get("attack", name, where="m.yaml:3")
    assert said in str(caught.value)
    assert "m.yaml:3" in str(caught.value)
