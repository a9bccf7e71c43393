"""Every mistake in a matrix is told in one or two lines, with its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from robench.errors import UserError
from robench.matrix import Matrix, find, load
from robench.registry import Registry

BASE = """\
name: m
datasets: [digits]
models: [small-cnn]
attacks: [fgsm, pgd]
"""


def refusal(read: Callable[[str], Matrix], text: str) -> str:
    with pytest.raises(UserError) as error:
        read(text)
    told = str(error.value)
    assert 1 <= len(told.splitlines()) <= 2
    return told


def changed(line: str) -> str:
    """BASE with `line` instead of the one with its key, or below all."""
    key = line.partition(":")[0]
    lines = BASE.splitlines()
    kept = [line if known.startswith(f"{key}:") else known for known in lines]
    return "\n".join(kept if line in kept else [*lines, line]) + "\n"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        # the document
        ("models: [small-cnn", ["m.yaml:4: not YAML"]),
        ("name: n\nname: m", ["m.yaml:2: the key 'name' stands twice"]),
        # keys
        ("attack: [fgsm]", ["m.yaml:5 attack: unknown key 'attack'", "did you mean 'attacks'"]),
        ("qqqq: 1", ["m.yaml:5 qqqq: unknown key 'qqqq'", "one of name, datasets"]),
        ("pruning: {rate: [0]}", ["m.yaml:5 pruning.rate: unknown key 'rate'", "'rates'"]),
        # rough shapes
        ("name: a b", ["m.yaml:1 name: the name, got 'a b'", "letters, digits"]),
        ("name: ../m", ["m.yaml:1 name", "'../m'"]),
        ("name: ''", ["m.yaml:1 name"]),
        ("name: 5", ["m.yaml:1 name", "got 5"]),
        ("models: small-cnn", ["m.yaml:3 models: not a list", "'small-cnn'", "models: [ … ]"]),
        ("attacks: {fgsm: {}}", ["m.yaml:4 attacks: not a list"]),
        ("attacks:", ["m.yaml:4 attacks: not a list, got None"]),
        ("samples: 0", ["m.yaml:5 samples", "got 0", "a whole number ≥ 1"]),
        ("samples: 0.5", ["m.yaml:5 samples", "got 0.5"]),
        ("samples: '9'", ["m.yaml:5 samples", "got '9'"]),
        ("samples: true", ["m.yaml:5 samples", "got True"]),
        ("ladder: 1", ["m.yaml:5 ladder", "got 1"]),
        ("pruning: [0.3]", ["m.yaml:5 pruning: not a mapping, got [0.3]", "rates: [0, 0.5]"]),
        ("pruning: 0.3", ["m.yaml:5 pruning: not a mapping, got 0.3"]),
        ("pruning: {rates: 0.3}", ["m.yaml:5 pruning.rates: not a list", "rates: [ … ]"]),
        # empty axes
        *[(f"{axis}: []", [f" {axis}: an empty axis", "at least one item"])
          for axis in ("datasets", "models", "recipes", "defenses", "attacks", "epsilons",
                       "threats", "seeds")],
        ("pruning: {rates: []}", ["m.yaml:5 pruning.rates: an empty axis"]),
        # unknown names
        ("datasets: [digit]", ["m.yaml:2 datasets[0]: unknown dataset 'digit'", "'digits'"]),
        ("models: [small_cnn]", ["m.yaml:3 models[0]: unknown model", "mean 'small-cnn'"]),
        ("recipes: [standart]", ["m.yaml:5 recipes[0]: unknown recipe", "mean 'standard'"]),
        ("defenses: [jpg]", ["m.yaml:5 defenses[0]: unknown defense", "mean 'jpeg'"]),
        ("attacks: [fgsm, pdg]", ["m.yaml:4 attacks[1]: unknown attack 'pdg'", "mean 'pgd'"]),
        ("attacks:\n- fgsm\n- {qqqq: {}}", ["m.yaml:6 attacks[1]: unknown attack 'qqqq'",
                                            "expected one of", "bim"]),
        ("threats: [grey-bix]", ["m.yaml:5 threats[0]: unknown threat 'grey-bix'", "white-box"]),
        ("threats: [{transfer: {surrogate: x}}]",
         ["m.yaml:5 threats[0]: the surrogate is none of the models", "small-cnn"]),
        ("pruning: {method: l2}", ["m.yaml:5 pruning.method: unknown pruning method 'l2'", "l1"]),
        ("pruning: {scope: globl}", ["m.yaml:5 pruning.scope", "did you mean 'global'"]),
        ("models: [timm/]", ["m.yaml:3 models[0]: unknown model 'timm/'"]),
        ("models: ['timm/*']", ["m.yaml:3 models[0]: 'timm/*' opens a catalogue", "timm/NAME"]),
        # numbers
        *[(f"epsilons: [0.1, {value}]", ["m.yaml:5 epsilons[1]: epsilon, got", "(0, 1]"])
          for value in ("0", "-0.1", "8/0", "1.1", "256/255", ".nan", ".inf", "abc", "'0.1'",
                        "true", "null", "[0.1]")],
        *[(f"pruning: {{rates: [0, {value}]}}",
           ["m.yaml:5 pruning.rates[1]: pruning rate, got", "[0, 1)"])
          for value in ("1", "1.0", "-0.1", "80", ".nan", "true", "'0.5'", "null")],
        *[(f"seeds: [{value}]", ["m.yaml:5 seeds[0]: seed, got", "whole number"])
          for value in ("-1", "1.5", "x", "true")],
        # what stands twice
        *[(f"{axis}: [{name}, {name}]",
           [f" {axis}[1]: '{name}' stands twice on the axis", f"{axis}[0]"])
          for axis, name in (("datasets", "digits"), ("models", "resnet18"),
                             ("recipes", "standard"), ("defenses", "jpeg"), ("attacks", "bim"))],
        ("epsilons: [8/255, 16/510]", ["m.yaml:5 epsilons[1]: 16/510 stands twice"]),
        ("seeds: [0, 1, 0]", ["m.yaml:5 seeds[2]: 0 stands twice"]),
        ("pruning: {rates: [0, 0.5, 0.5]}", ["m.yaml:5 pruning.rates[2]: 0.5 stands twice"]),
        ("threats: [white-box, white-box]", ["m.yaml:5 threats[1]: 'white-box' stands twice"]),
        # axis items
        ("attacks: [5]", ["m.yaml:4 attacks[0]: not an axis item, got 5", "a name, or"]),
        ("attacks: [null]", ["m.yaml:4 attacks[0]: not an axis item, got None"]),
        ("attacks: [[pgd]]", ["m.yaml:4 attacks[0]: not an axis item, got ['pgd']"]),
        ("attacks: [{pgd: {}, bim: {}}]", ["m.yaml:4 attacks[0]: not an axis item"]),
        ("attacks: [{label: x}]", ["m.yaml:4 attacks[0]: not an axis item"]),
        ("attacks: [{}]", ["m.yaml:4 attacks[0]: not an axis item, got {}"]),
        ("attacks: [{pgd: 4}]", ["m.yaml:4 attacks[0]: not an axis item"]),
        ("attacks: [{pgd: [steps]}]", ["m.yaml:4 attacks[0]: not an axis item"]),
        ("attacks: [{1: {}}]", ["m.yaml:4 attacks[0]: not an axis item"]),
        ("attacks: [{pgd: {}, label: 5}]", ["m.yaml:4 attacks[0]: label, got 5", "a word"]),
        ("attacks: [{pgd: {}, label: ' '}]", ["m.yaml:4 attacks[0]: label, got ' '"]),
        ("attacks: [{pgd: {}, label: worst-case}]", ["m.yaml:4 attacks[0]", "'worst-case' is tak"]),
        # settings
        ("attacks: [{pgd: {step: 4}}]", ["m.yaml:4 attacks[0]: attack 'pgd' has no setting 'step'",
                                         "did you mean 'steps'"]),
        ("attacks: [{pgd: {1: 4}}]", ["m.yaml:4 attacks[0]: attack 'pgd' has no setting '1'"]),
        ("recipes: [{none: {epochs: 1}}]", ["m.yaml:5 recipes[0]", "it has no settings"]),
        ("attacks: [{pgd: {steps: 1.5}}]", ["m.yaml:4 attacks[0]: attack 'pgd', setting 'steps'",
                                            "got 1.5", "a whole number (the default is 40)"]),
        ("attacks: [{pgd: {steps: true}}]", ["setting 'steps', got True", "a whole number"]),
        ("attacks: [{pgd: {steps: '4'}}]", ["setting 'steps', got '4'", "a whole number"]),
        ("attacks: [{pgd: {norm: 2}}]", ["setting 'norm', got 2", "a word"]),
        ("attacks: [{pgd: {random_start: 1}}]", ["'random_start', got 1", "true or false"]),
        ("recipes: [{standard: {learning_rate: fast}}]", ["got 'fast'", "a number (the default"]),
        ("attacks: [{pgd: {step_size: .nan}}]", ["m.yaml:4 attacks[0]", "nan", "finite"]),
        ("recipes: [{standard: {learning_rate: .inf}}]", ["m.yaml:5 recipes[0]", "inf", "finite"]),
        ("models: [{timm/resnet18: {x: 2024-01-01}}]", ["m.yaml:3 models[0]", "date", "words"]),
        ("datasets: [{digits: {limit: {1: 2}}}]", ["m.yaml:2 datasets[0]", "string names"]),
        ("models: [{small-cnn: {checkpoint: 5}}]", ["m.yaml:3 models[0]: checkpoint, got 5"]),
        # exclude
        ("exclude: {model: small-cnn}", ["m.yaml:5 exclude: not a list"]),
        ("exclude: [fgsm]", ["m.yaml:5 exclude[0]: not an exclusion, got 'fgsm'", "{axis: name"]),
        ("exclude: [{}]", ["m.yaml:5 exclude[0]: not an exclusion"]),
        ("exclude: [{atack: fgsm}]", ["m.yaml:5 exclude[0].atack: unknown axis 'atack'",
                                      "did you mean 'attack'"]),
        ("exclude:\n- {attack: fgsm}\n- {attack: pdg}", [
            "m.yaml:7 exclude[1].attack: no attack of this matrix is called 'pdg'", "mean 'pgd'"]),
        ("exclude: [{attack: bim}]", ["no attack of this matrix is called 'bim'", "fgsm, pgd"]),
        ("exclude: [{model: [small-cnn]}]", ["m.yaml:5 exclude[0].model: no model of this matrix"]),
        ("exclude: [{attack: null}]", ["no attack of this matrix is called 'None'"]),
        ("exclude: [{epsilon: 0.5}]", ["exclude[0].epsilon: no epsilon of this matrix is 0.5",
                                       "8/255"]),
        ("exclude: [{seed: 1}]", ["m.yaml:5 exclude[0].seed: no seed of this matrix is 1"]),
        ("exclude: [{seed: false}]", ["m.yaml:5 exclude[0].seed: no seed of this matrix is False"]),
        ("exclude: [{pruning_rate: 0.5}]", ["no pruning_rate of this matrix is 0.5", "0.0"]),
        ("exclude: [{pruning_rate: [0]}]", ["no pruning_rate of this matrix is [0]"]),
        ("exclude: [{threat: grey-box}]", ["no threat of this matrix is 'grey-box'", "white-box"]),
    ],
)
def test_told_with_its_place(read: Callable[[str], Matrix], line: str, told: list[str]) -> None:
    message = refusal(read, changed(line))
    for part in told:
        assert part in message


@pytest.mark.parametrize("key", ["name", "datasets", "models", "attacks"])
def test_a_key_that_is_missing(read: Callable[[str], Matrix], key: str) -> None:
    kept = [line for line in BASE.splitlines() if not line.startswith(key)]
    assert refusal(read, "\n".join(kept)) == f"m.yaml: the key '{key}' is missing"


def test_an_unknown_key_is_why_another_is_missing(read: Callable[[str], Matrix]) -> None:
    told = refusal(read, BASE.replace("models", "modles"))
    assert told.startswith("m.yaml:3 modles: unknown key 'modles'")
    assert "did you mean 'models'" in told


@pytest.mark.parametrize("text", ["", "null", "- a\n- b\n", "just words", "5"])
def test_no_matrix_at_all(read: Callable[[str], Matrix], text: str) -> None:
    assert "not a matrix, got" in refusal(read, text)


def test_a_mapping_has_no_lines(registry: Registry) -> None:
    with pytest.raises(UserError) as error:
        load({"name": "m", "datasets": ["digits"], "models": ["x"], "attacks": ["fgsm"]}, registry)
    assert str(error.value).startswith("matrix models[0]: unknown model 'x'")


def test_a_matrix_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        find("quickstrat")
    assert "nor a shipped matrix of that name, got 'quickstrat'" in str(error.value)
    assert error.value.nearest == "quickstart"
    with pytest.raises(UserError, match="the matrix is a folder"):
        find(tmp_path)


def test_a_file_beside_the_one_that_is_meant(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(BASE, encoding="utf-8")
    with pytest.raises(UserError, match="no such matrix file") as error:
        find(tmp_path / "mien.yaml")
    assert error.value.nearest == str(tmp_path / "mine.yaml")
