"""Models that stand for another one under a pruning of their own."""

from __future__ import annotations

import pytest

from robench.errors import UserError
from robench.matrix import load
from robench.plan import DataFacts, Plan
from robench.planning import make_plan
from robench.registry import Card, Registry

FACTS = DataFacts("f" * 64, num_classes=10, in_channels=1, image_size=(8, 8), train=100,
                  validation=10, test=50)
ALIASES = [card for card in Registry.discover().own("model") if card.alias_of]


def planned(**changed: object) -> Plan:
    asked = {"name": "m", "datasets": ["digits"], "attacks": ["fgsm"], **changed}
    return make_plan(load(asked, Registry.discover()), {"digits": FACTS}, {})


def test_there_are_those_of_the_paper() -> None:
    assert {card.name for card in ALIASES} >= {"prune-resnet34", "prune-cbam-resnet34"}


@pytest.mark.parametrize("alias", ALIASES, ids=lambda card: card.name)
def test_an_alias_is_what_it_stands_for(alias: Card) -> None:
    own = Registry.discover().get("model", str(alias.alias_of)).card
    assert (alias.factory, alias.version) == (own.factory, own.version)
    assert (alias.params, alias.traits) == (own.params, own.traits)
    assert alias.pruning is not None


@pytest.mark.parametrize("alias", ALIASES, ids=lambda card: card.name)
def test_it_is_that_model_pruned_whatever_the_axis_says(alias: Card) -> None:
    assert alias.pruning is not None
    pruning = {**alias.pruning}
    rates = pruning.pop("rates")
    meant = planned(models=[alias.alias_of], pruning={**pruning, "rates": rates})
    for axis in ({"rates": [0]}, {"rates": [0, 0.5], "scope": "global"}):
        found = planned(models=[alias.name], pruning=axis)
        assert [cell.key for cell in found.cells] == [cell.key for cell in meant.cells]
        assert {cell.target.training.model.label for cell in found.cells} == {alias.name}
        assert {cell.target.rate for cell in found.cells} == set(rates)


def test_its_training_is_shared() -> None:
    both = planned(models=["resnet34", "prune-resnet34"])
    assert len(both.trainings) == 1
    assert [target.rate for target in both.targets] == [0.0, 0.2]


def test_it_can_be_excluded_by_its_own_name() -> None:
    left = planned(models=["resnet34", "prune-resnet34"], attacks=["fgsm", "noise"],
                   exclude=[{"model": "prune-resnet34", "attack": "noise"}])
    assert [(cell.target.training.model.label, cell.attack.name) for cell in left.cells] == [
        ("resnet34", "fgsm"), ("resnet34", "noise"), ("prune-resnet34", "fgsm"),
    ]
    assert planned(models=["resnet34", "prune-resnet34"],
                   exclude=[{"pruning_rate": 0.2}]).targets[0].rate == 0.0


def test_twice_is_refused() -> None:
    with pytest.raises(UserError, match="stands twice"):
        planned(models=["prune-resnet34", "prune-resnet34"])


@pytest.mark.parametrize("alias", ALIASES, ids=lambda card: card.name)
def test_as_a_surrogate_it_is_pruned_too(alias: Card) -> None:
    assert alias.pruning is not None
    plan = planned(models=["small-cnn", alias.name],
                   threats=["white-box", {"transfer": {"surrogate": alias.name}}])
    made_on = {ladder.source.target.key for ladder in plan.ladders if ladder.source is not None}
    itself = {target.key for target in plan.targets if target.training.model.label == alias.name}
    assert made_on == itself
    (named,) = {cell.surrogate for cell in plan.cells if cell.threat == "transfer"}
    assert named == f"{alias.name} · pruned {alias.pruning['rates'][0]:g}"
