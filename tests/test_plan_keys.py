"""What the keys of a plan depend on, and what not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from robench import versions
from robench.matrix import load
from robench.plan import Plan
from robench.planning import make_plan
from robench.registry import KINDS, Registry

from .plans import BASE, FACTS, REGISTRY, planned


def keys(plan: Plan) -> set[str]:
    return {cell.key for cell in plan.cells}


def by_epsilon(plan: Plan, attack: str = "fgsm") -> dict[float, str]:
    return {
        cell.epsilon.value: cell.key for cell in plan.cells
        if cell.attack.label == attack and not cell.target.rate
        and cell.target.defense.name == "none"
    }


def with_version(kind: str, name: str, version: int) -> Registry:
    own = {(of, card.name): card for of in KINDS for card in REGISTRY.own(of)}
    changed = own[kind, name].model_copy(update={"version": version})  # type: ignore[index]
    return Registry({**own, (kind, name): changed}, [])  # type: ignore[dict-item]


def test_keys_are_hashes_and_stay_what_they_are() -> None:
    assert all(len(key) == 64 and int(key, 16) for key in keys(planned()))
    assert [cell.key for cell in planned().cells] == [cell.key for cell in planned().cells]


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "other"},
        {"attacks": ["pgd", "fgsm"]},
        {"attacks": [{"pgd": None, "label": "x"}, {"fgsm": {}, "label": "y"}]},
        {"attacks": ["fgsm", {"pgd": {"steps": 40}}]},
        {"models": [{"small-cnn": {"width": 32}, "label": "mine"}]},
        {"datasets": [{"digits": None, "label": "scans"}]},
        {"recipes": ["standard"]},
        {"recipes": [{"standard": {"learning_rate": 0.001}, "label": "x"}]},
        {"epsilons": [0.2, 0.05, 0.1]},
        {"epsilons": ["1/20", "0.1/1", 0.2]},
        {"pruning": {"rates": [0.5, 0.0]}},
        {"defenses": ["jpeg", "none"]},
        {"samples": 50},
        {"samples": 5000},
        {"ladder": True},
        {"threats": ["white-box"]},
    ],
    ids=repr,
)
def test_what_is_in_no_key(changed: dict[str, Any]) -> None:
    assert keys(planned(**changed)) == keys(planned())


@pytest.mark.parametrize(
    "changed",
    [
        {"epsilons": [0.06]},
        {"seeds": [1]},
        {"samples": 49},
        {"attacks": [{"pgd": {"steps": 41}}, {"fgsm": {"norm": "l2"}}]},
        {"models": [{"small-cnn": {"width": 31}}]},
        {"models": ["resnet18"]},
        {"models": [{"small-cnn": {"checkpoint": "w.pt"}}], "recipes": ["standard"]},
        {"recipes": [{"standard": {"epochs": 21}}]},
        {"recipes": ["none"]},
        {"pruning": {"rates": [0.51]}},
        {"defenses": [{"jpeg": {"quality": 76}}], "pruning": {"rates": [0.25]}},
        {"facts": replace(FACTS, fingerprint="e" * 64)},
        *[{"registry": with_version(kind, name, 2)} for kind, name in (
            ("model", "small-cnn"), ("recipe", "standard"))],
        {"registry": with_version("attack", "fgsm", 2), "attacks": ["fgsm"]},
        {"registry": with_version("defense", "jpeg", 2), "defenses": ["jpeg"]},
    ],
    ids=lambda changed: repr(changed)[:60],
)
def test_what_makes_every_key_another(changed: dict[str, Any]) -> None:
    assert not keys(planned(**changed)) & keys(planned())


def test_what_no_part_of_a_key_depends_on() -> None:
    larger = replace(FACTS, num_classes=3, train=7, validation=0, image_size=(9, 9))
    assert keys(planned(facts=larger)) == keys(planned())


@pytest.mark.parametrize("name", ["TRAINING", "PRUNING", "CRAFTING"])
def test_the_versions_of_the_code(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    before = planned()
    monkeypatch.setattr(versions, name, getattr(versions, name) + 1)
    after = planned()
    for old, new in zip(before.cells, after.cells, strict=True):
        assert (old.target.training.key != new.target.training.key) == (name == "TRAINING")
        assert (old.key != new.key) == (name != "PRUNING" or old.target.rate > 0)
        assert (old.target.clean_key != new.target.clean_key) == (old.key != new.key)


def test_weights_count_by_what_is_in_them() -> None:
    def with_file(path: str, weights: str) -> set[str]:
        models = [{"small-cnn": {"checkpoint": path}}]
        return keys(planned(models=models, weights=weights))

    assert with_file("a.pt", "1" * 64) == with_file("elsewhere/b.pt", "1" * 64)
    assert not with_file("a.pt", "1" * 64) & with_file("a.pt", "2" * 64)


def test_a_larger_sample_is_another_clean_pass_of_the_same_victim() -> None:
    few, many = planned(samples=10).targets[0], planned(samples=20).targets[0]
    assert few.key == many.key
    assert few.clean_key != many.clean_key
    assert (few.samples, many.samples, planned().targets[0].samples) == (10, 20, 50)


def test_a_larger_epsilon_leaves_the_smaller_cells_as_they_are() -> None:
    before, after = (by_epsilon(planned(epsilons=asked)) for asked in ([0.1, 0.2], [0.1, 0.2, 0.3]))
    assert after.items() >= before.items()


def test_a_smaller_epsilon_changes_what_builds_on_it() -> None:
    before, after = by_epsilon(planned(epsilons=[0.1, 0.2])), by_epsilon(planned())
    assert before[0.1] != after[0.1]
    assert before[0.2] != after[0.2]


def test_without_a_ladder_each_epsilon_stands_alone() -> None:
    alone = by_epsilon(planned(epsilons=[0.2], ladder=False))
    among = by_epsilon(planned(epsilons=[0.05, 0.1, 0.2], ladder=False))
    assert among[0.2] == alone[0.2]
    assert not any(ladder.climbs for ladder in planned(ladder=False).ladders)
    assert all(ladder.climbs for ladder in planned().ladders)


def test_the_first_step_of_a_ladder_is_a_cell_on_its_own() -> None:
    on, off = by_epsilon(planned()), by_epsilon(planned(ladder=False))
    assert on[0.05] == off[0.05]
    assert on[0.1] != off[0.1]


def test_an_excluded_step_is_no_part_of_the_ladder() -> None:
    excluded = planned(exclude=[{"attack": "fgsm", "epsilon": 0.1}])
    assert by_epsilon(excluded) == by_epsilon(planned(epsilons=[0.05, 0.2]))
    assert by_epsilon(excluded, "pgd") == by_epsilon(planned(), "pgd")


def minimum(registry: Registry) -> Registry:
    own = {(of, card.name): card for of in KINDS for card in registry.own(of)}
    card = own["attack", "fgsm"]
    changed = card.model_copy(update={"traits": {**card.traits, "budget": "minimum"}})
    return Registry({**own, ("attack", "fgsm"): changed}, [])


def test_a_minimum_norm_attack_climbs_no_ladder() -> None:
    plan = planned(registry=minimum(REGISTRY))
    assert [ladder.minimum for ladder in plan.ladders] == [
        ladder.attack.name == "fgsm" for ladder in plan.ladders
    ]
    assert all(ladder.climbs != ladder.minimum for ladder in plan.ladders)
    assert by_epsilon(plan) == by_epsilon(planned(ladder=False))


def test_a_pretrained_file_counts_by_what_it_holds_and_not_by_its_path() -> None:
    def key(path: str, digest: str) -> str:
        matrix = load({**BASE, "models": [{"timm/resnet18": {"pretrained": path}}]}, REGISTRY)
        plan = make_plan(matrix, {"digits": FACTS}, {path: digest})
        return plan.trainings[0].key

    assert key("a.safetensors", "1" * 64) == key("b/c.pt", "1" * 64)
    assert key("a.safetensors", "1" * 64) != key("a.safetensors", "2" * 64)


def test_the_pruned_layers_are_part_of_a_key() -> None:
    def pruned(**how: Any) -> set[str]:
        return {target.key for target in planned(pruning={"rates": [0.5], **how}).targets}

    assert pruned() == pruned(layers="conv-linear")
    assert not pruned() & pruned(layers="conv")
    unpruned = [planned(pruning={"rates": [0], "layers": layers}) for layers in ("conv",
                                                                                 "conv-linear")]
    assert keys(unpruned[0]) == keys(unpruned[1])
