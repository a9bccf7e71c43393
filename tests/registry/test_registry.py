"""The registry: robench's own cards, and names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from robench.registry import KINDS, Card, Registry
from robench.registry.registry import own_cards

PROVIDER = Card(name="zoo/*", kind="model", summary="", factory="builtins:dict",
                open_params=True)
PLAIN = Card(name="plain", kind="model", summary="", factory="fractions:Fraction")


def made(*cards: Card) -> Registry:
    return Registry({(card.kind, card.name): card for card in cards}, [])


def test_an_entry_knows_its_card_and_origin_and_loads_when_asked() -> None:
    entry = made(PLAIN).get("model", "plain")
    assert (entry.card, entry.origin) == (PLAIN, "robench")
    assert entry.load().__name__ == "Fraction"


def test_the_same_name_may_stand_in_two_kinds() -> None:
    other = Card(name="plain", kind="recipe", summary="other", factory="m:f")
    registry = made(PLAIN, other)
    assert registry.get("recipe", "plain").card.summary == "other"
    assert registry.names("model") == registry.names("recipe") == ["plain"]
    assert registry.names("attack") == []


def test_a_provider_opens_a_catalogue() -> None:
    entry = made(PROVIDER).get("model", "zoo/some.Net-1")
    assert entry.card.name == "zoo/some.Net-1"
    assert not entry.card.is_provider
    assert entry.load()(num_classes=3) == {"name": "some.Net-1", "num_classes": 3}


def test_names_are_sorted_and_hold_providers() -> None:
    assert made(PROVIDER, PLAIN).names("model") == ["plain", "zoo/*"]
    assert [card.name for card in made(PROVIDER, PLAIN).own("model")] == ["plain", "zoo/*"]


def test_cards_are_read_from_files(tmp_path: Path) -> None:
    folder = tmp_path / "attacks"
    folder.mkdir()
    (folder / "two.yaml").write_text(
        "- {name: a, kind: attack, summary: first, factory: 'm:a'}\n"
        "- {name: b/c, kind: attack, summary: second, factory: 'm:b', params: {steps: 3}}\n"
    )
    (folder / "one.yaml").write_text("{name: d, kind: attack, summary: third, factory: 'm:d'}\n")
    cards = own_cards(tmp_path)
    assert sorted(name for _, name in cards) == ["a", "b/c", "d"]
    assert cards["attack", "b/c"].params == {"steps": 3}
    assert cards["attack", "a"].version == 1


def test_what_ships_is_discovered() -> None:
    registry = Registry.discover()
    assert {"fgsm", "pgd"} <= set(registry.names("attack"))
    assert all(registry.names(kind) for kind in KINDS)
    assert registry.get("attack", "pgd").load().__name__ == "PGD"
    assert registry.contested() == []


def test_reading_the_registry_loads_no_torch() -> None:
    code = ("import sys; from robench.registry import Registry, KINDS; r = Registry.discover(); "
            "[r.get(k, c.name) for k in KINDS for c in r.own(k) if not c.is_provider]; "
            "sys.exit('torch' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
