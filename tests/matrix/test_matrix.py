"""A matrix with every default written out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from robench.matrix import Matrix, Threat, find, load
from robench.registry import Registry
from robench.resources import matrices_folder

SMALLEST = {"name": "m", "datasets": ["digits"], "models": ["small-cnn"], "attacks": ["fgsm"]}
FULL = """\
    name: full
    datasets: [digits, {digits: {limit: {test: 9}}, label: few}]
    models: [small-cnn, {small-cnn: {checkpoint: w.pt}, label: mine}, timm/resnet18]
    recipes: [standard, {pgd-at: {epochs: 5}}]
    pruning: {method: l1, scope: layerwise, rates: [0.3, 0]}
    defenses: [none, {jpeg: {quality: 75}}]
    attacks: [fgsm, {pgd: {steps: 4}, label: short}, pgd]
    epsilons: [0.1, 8/255]
    threats: [white-box]
    seeds: [3, 0]
    samples: 20
    ladder: false
    exclude: []
"""


def labels(items: tuple[Any, ...] | None) -> list[str] | None:
    return None if items is None else [item.label for item in items]


def test_four_keys_are_enough(registry: Registry) -> None:
    matrix = load(SMALLEST, registry)
    assert (matrix.name, matrix.source) == ("m", "matrix")
    assert labels(matrix.datasets) == ["digits"]
    assert labels(matrix.models) == ["small-cnn"]
    assert labels(matrix.attacks) == ["fgsm"]
    assert matrix.recipes is None
    assert labels(matrix.default_recipes) == ["standard", "none"]
    assert (matrix.pruning.method, matrix.pruning.scope) == ("l1", "global")
    assert matrix.pruning.rates == (0.0,)
    assert labels(matrix.defenses) == ["none"]
    assert [(epsilon.value, epsilon.text) for epsilon in matrix.epsilons] == [(8 / 255, "8/255")]
    assert (matrix.threats, matrix.seeds) == ((Threat("white-box"),), (0,))
    assert (matrix.samples, matrix.ladder, matrix.exclude) == (None, True, ())


def test_everything_given(read: Callable[[str], Matrix]) -> None:
    matrix = read(FULL)
    assert labels(matrix.datasets) == ["digits", "few"]
    assert labels(matrix.models) == ["small-cnn", "mine", "timm/resnet18"]
    assert labels(matrix.recipes) == ["standard", "pgd-at"]
    assert (matrix.pruning.method, matrix.pruning.scope) == ("l1", "layerwise")
    assert matrix.pruning.rates == (0.0, 0.3)
    assert labels(matrix.defenses) == ["none", "jpeg"]
    assert labels(matrix.attacks) == ["fgsm", "short", "pgd"]
    assert [epsilon.text for epsilon in matrix.epsilons] == ["8/255", "0.1"]
    assert (matrix.seeds, matrix.samples, matrix.ladder) == ((3, 0), 20, False)


def test_settings_are_resolved(read: Callable[[str], Matrix]) -> None:
    matrix = read(FULL)
    assert matrix.attacks[1].settings == {
        "steps": 4, "step_size": None, "norm": "linf", "random_start": True, "restarts": 1,
        "loss": "ce", "target": None, "quantile": 0.99,
    }
    assert matrix.models[0].settings == {"width": 32}
    assert matrix.recipes is not None
    assert matrix.recipes[1].settings["epochs"] == 5
    assert matrix.recipes[1].settings["steps"] == 7


@pytest.mark.parametrize("key", ["recipes", "samples"])
def test_null_is_the_default_where_it_has_a_meaning(registry: Registry, key: str) -> None:
    assert load({**SMALLEST, key: None}, registry) == load(SMALLEST, registry)


def test_recipes_of_a_model(read: Callable[[str], Matrix], registry: Registry) -> None:
    models = ["small-cnn", {"small-cnn": {"checkpoint": "w.pt"}, "label": "mine"}]
    plain, own = (matrix := load({**SMALLEST, "models": models}, registry)).models
    assert labels(matrix.recipes_for(plain)) == ["standard"]
    assert labels(matrix.recipes_for(own)) == ["none"]
    named = read(FULL)
    assert [labels(named.recipes_for(model)) for model in named.models] == [
        ["standard", "pgd-at"]] * 3


def cells(matrix: Matrix) -> Iterator[dict[str, Any]]:
    recipes = matrix.recipes or matrix.default_recipes
    for attack, epsilon, rate, model, recipe, dataset, defense, seed in product(
        matrix.attacks, matrix.epsilons, matrix.pruning.rates, matrix.models, recipes,
        matrix.datasets, matrix.defenses, matrix.seeds,
    ):
        yield {"attack": attack, "epsilon": epsilon.value, "pruning_rate": rate, "model": model,
               "recipe": recipe, "dataset": dataset, "defense": defense, "seed": seed,
               "threat": "white-box"}


@pytest.mark.parametrize(
    ("exclusion", "left_out"),
    [
        ("{attack: short}", lambda cell: cell["attack"].label == "short"),
        ("{attack: pgd}", lambda cell: cell["attack"].name == "pgd"),
        ("{dataset: few}", lambda cell: cell["dataset"].label == "few"),
        ("{dataset: digits}", lambda cell: True),
        ("{model: mine}", lambda cell: cell["model"].label == "mine"),
        ("{recipe: pgd-at}", lambda cell: cell["recipe"].name == "pgd-at"),
        ("{defense: none}", lambda cell: cell["defense"].name == "none"),
        ("{epsilon: 8/255}", lambda cell: cell["epsilon"] == 8 / 255),
        ("{epsilon: 0.1}", lambda cell: cell["epsilon"] == 0.1),
        ("{pruning_rate: 0}", lambda cell: cell["pruning_rate"] == 0),
        ("{pruning_rate: 0.3}", lambda cell: cell["pruning_rate"] == 0.3),
        ("{seed: 3}", lambda cell: cell["seed"] == 3),
        ("{threat: white-box}", lambda cell: True),
        ("{model: mine, attack: fgsm, epsilon: 0.1}",
         lambda cell: cell["model"].label == "mine" and cell["attack"].name == "fgsm"
         and cell["epsilon"] == 0.1),
        ("{seed: 3}, {seed: 0}", lambda cell: True),
    ],
)
def test_what_is_excluded(
    read: Callable[[str], Matrix], exclusion: str, left_out: Callable[[dict[str, Any]], bool]
) -> None:
    matrix = read(FULL.replace("exclude: []", f"exclude: [{exclusion}]"))
    found = [matrix.excluded(**cell) for cell in cells(matrix)]
    assert found == [left_out(cell) for cell in cells(matrix)]
    assert any(found)


def test_recipes_that_are_implied_can_be_excluded(registry: Registry) -> None:
    matrix = load({**SMALLEST, "exclude": [{"recipe": "standard"}]}, registry)
    assert all(
        matrix.excluded(**cell) == (cell["recipe"].name == "standard") for cell in cells(matrix)
    )


def test_files_names_and_mappings(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(SMALLEST), encoding="utf-8")
    from_file = load(file, registry)
    assert from_file.source == str(file)
    assert load(str(file), registry) == from_file
    assert load("quickstart", registry).source == str(matrices_folder() / "quickstart.yaml")
    monkeypatch.chdir(tmp_path)
    assert find("mine.yaml") == Path("mine.yaml")
    (tmp_path / "quickstart").write_text("name: own\n", encoding="utf-8")
    assert find("quickstart") == Path("quickstart")


def test_what_is_given_is_not_changed(registry: Registry) -> None:
    model = {"small-cnn": {"checkpoint": "w.pt", "width": 8}, "label": "x"}
    asked = {**SMALLEST, "models": [model]}
    before = repr(asked)
    load(asked, registry)
    assert repr(asked) == before
