"""Entry points: found, described by what they name, and contested."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest
from torch import nn

import robench
from robench.errors import UserError
from robench.registry import Broken, Card, Kind, Plugin, Registry

OWN = Card(name="fgsm", kind="attack", summary="own", factory="fractions:Fraction")


def plugin(kind: Kind, name: str, target: str, distribution: str = "theirs") -> Plugin:
    value = target if ":" in target else f"{__name__}:{target}"
    return Plugin(kind, name, distribution, "1.2", EntryPoint(name, value, f"robench.{kind}s"))


def registry(*plugins: Plugin) -> Registry:
    return Registry({("attack", "fgsm"): OWN}, list(plugins))


@robench.card(summary="a small network", version=4, traits={"stochastic": True},
              paper={"key": "theirs2024"}, notes=["a note"])
def network(*, num_classes: int, in_channels: int, image_size: Any, width: int = 8) -> nn.Module:
    return nn.Identity()


class Signs(robench.Attack):
    """Signed steps.

    More of it.
    """

    budget = "minimum"
    version = 2

    def __init__(self, *, steps: int = 3) -> None:
        self.steps = steps

    def perturb(self, victim: Any, images: Any, labels: Any, *, epsilon: float,
                random: Any) -> Any:
        return images


def rounding(network: nn.Module, *, bits: int = 4) -> nn.Module:
    return network


rounding.differentiable = False  # type: ignore[attr-defined]


def recipe(network: Any, dataset: Any, *, device: Any, seed: int, monitor: Any = None,
           epochs: int = 1, **others: Any) -> Any:
    return network


def data(*, image_size: Any = None, path: str) -> Any:  # a setting without a default
    return None


def test_an_attached_card_says_what_the_signature_does_not() -> None:
    entry = registry(plugin("model", "small", "network")).get("model", "small")
    card = entry.card
    assert (card.summary, card.version, card.params) == ("a small network", 4, {"width": 8})
    assert (card.traits, card.notes) == ({"stochastic": True}, ("a note",))
    assert (card.name, card.factory) == ("small", f"{__name__}:network")
    assert entry.origin == "theirs"
    assert entry.load() is network


def test_without_a_card_the_docstring_and_the_attributes_tell() -> None:
    card = registry(plugin("attack", "signs", "Signs")).get("attack", "signs").card
    assert (card.summary, card.version) == ("Signed steps.", 2)
    assert card.params == {"steps": 3}
    assert card.traits == {"norm": "linf", "budget": "minimum", "access": "gradient"}
    guarded = registry(plugin("defense", "rounding", "rounding")).get("defense", "rounding").card
    assert (guarded.traits, guarded.params) == ({"differentiable": False}, {"bits": 4})
    assert guarded.summary == "rounding"


def test_what_robench_gives_is_no_setting() -> None:
    card = registry(plugin("recipe", "r", "recipe")).get("recipe", "r").card
    assert (card.params, card.open_params) == ({"epochs": 1}, True)
    card = registry(plugin("dataset", "d", "data")).get("dataset", "d").card
    assert card.params == {"image_size": None, "path": None}


def test_a_name_of_two_distributions_belongs_to_neither() -> None:
    both = registry(plugin("model", "small", "network"),
                    plugin("model", "small", "network", "rivals"),
                    plugin("model", "other", "network", "rivals"))
    assert both.contested() == [Broken("model", "small", "theirs 1.2 and rivals 1.2",
                                       "two distributions claim this name")]
    with pytest.raises(UserError, match=r"two distributions: theirs 1\.2 and rivals 1\.2") as told:
        both.get("model", "small", where="m.yaml models[0]")
    assert told.value.where == "m.yaml models[0]"
    assert both.get("model", "other").origin == "rivals"


def test_a_name_of_robenchs_own_cannot_be_taken() -> None:
    taken = registry(plugin("attack", "fgsm", "Signs"))
    with pytest.raises(UserError, match=r"robench and theirs 1\.2"):
        taken.get("attack", "fgsm")
    assert taken.own("attack") == []
    assert [broken.name for broken in taken.contested()] == ["fgsm"]
    assert registry().get("attack", "fgsm").card is OWN


def test_the_same_name_in_another_kind_is_no_conflict() -> None:
    free = registry(plugin("model", "fgsm", "network"))
    assert free.contested() == []
    assert free.get("attack", "fgsm").card is OWN
    assert free.get("model", "fgsm").origin == "theirs"


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("no.such.module:thing", "ModuleNotFoundError: No module named 'no'"),
        (f"{__name__}:nothing", "AttributeError"),
        ("antigravity_that_exits:x", "ModuleNotFoundError"),
    ],
)
def test_what_cannot_be_loaded_is_named_with_its_error(target: str, told: str) -> None:
    broken = registry(plugin("model", "small", target))
    with pytest.raises(UserError) as caught:
        broken.get("model", "small", where="m.yaml models[0]")
    assert "m.yaml models[0]: model 'small' of theirs 1.2 cannot be loaded: " in str(caught.value)
    assert told in str(caught.value)
    assert broken.get("attack", "fgsm").card is OWN


def test_a_card_that_is_none_is_named_too() -> None:
    odd = registry(plugin("model", "Two Words", "network"))
    with pytest.raises(UserError, match=r"'Two Words' of theirs 1\.2 cannot be loaded"):
        odd.get("model", "Two Words")
