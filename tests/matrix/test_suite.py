"""Files that include matrices."""

from __future__ import annotations

from pathlib import Path

import pytest

import robench
from robench.errors import UserError
from robench.matrix import load, load_all
from robench.registry import Registry

REGISTRY = Registry.discover()


def write(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        write(tmp_path / f"{name}.yaml",
              f"name: {name}\ndatasets: [digits]\nmodels: [small-cnn]\nattacks: [fgsm]\n")
    return tmp_path


def test_matrices_are_read_in_the_order_of_the_suite(folder: Path) -> None:
    both = write(folder / "both.yaml", "name: both\ninclude: [two.yaml, quickstart, one.yaml]\n")
    read = load_all(both, REGISTRY)
    assert [matrix.name for matrix in read] == ["two", "quickstart", "one"]
    assert read[0].source == str(folder / "two.yaml")
    assert read[2] == load(folder / "one.yaml", REGISTRY)


def test_files_lie_beside_the_suite_wherever_it_is_run(folder: Path, monkeypatch) -> None:
    both = write(folder / "both.yaml", "name: both\ninclude: [two.yaml]\n")
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert load_all(both, REGISTRY)[0].name == "two"


def test_one_made_in_python_includes_shipped_matrices() -> None:
    (only,) = load_all({"name": "mine", "include": ["quickstart"]}, REGISTRY)
    assert only == load("quickstart", REGISTRY)


def test_a_plain_matrix_is_itself(folder: Path) -> None:
    assert load_all(folder / "one.yaml", REGISTRY) == (load(folder / "one.yaml", REGISTRY),)


@pytest.mark.parametrize(("text", "told"), [
    ("name: s\ninclude: [one.yaml]\nmodels: [mlp]\n", ["m.yaml:3 models", "no key 'models'"]),
    ("includ: [one.yaml]\n", ["unknown key 'includ'"]),
    ("include: [one.yaml]\n", ["the key 'name' is missing"]),
    ("name: s\ninclude: one.yaml\n", ["m.yaml:2 include", "got 'one.yaml'", "a list"]),
    ("name: s\ninclude: []\n", ["m.yaml:2 include", "a list"]),
    ("name: s\ninclude: [one.yaml, one.yaml]\n", ["include[1]", "each once"]),
    ("name: s\ninclude: [3]\n", ["include[0]", "got 3"]),
    ("name: s\ninclude: [on.yaml]\n", ["m.yaml:2 include[0]", "no such matrix file"]),
    ("name: s\ninclude: [quickstar]\n", ["did you mean 'quickstart'"]),
    ("name: s\ninclude: [one.yaml, copy.yaml]\n", ["include[1]", "two matrices", "'one'"]),
    ("name: s\ninclude: [nested.yaml]\n", ["include[0]", "'nested.yaml' includes matrices itself"]),
    ("name: s\ninclude: [m.yaml]\n", ["'m.yaml' includes matrices itself"]),
])
def test_what_is_refused(folder: Path, text: str, told: list[str]) -> None:
    write(folder / "copy.yaml", (folder / "one.yaml").read_text(encoding="utf-8"))
    write(folder / "nested.yaml", "name: n\ninclude: [one.yaml]\n")
    with pytest.raises(UserError) as error:
        load_all(write(folder / "m.yaml", text), REGISTRY)
    assert all(part in str(error.value) for part in told), error.value


def test_a_mistake_in_an_included_matrix_is_told_with_its_own_place(folder: Path) -> None:
    write(folder / "two.yaml", "name: two\ndatasets: [digts]\nmodels: [mlp]\nattacks: [fgsm]\n")
    both = write(folder / "both.yaml", "name: both\ninclude: [one.yaml, two.yaml]\n")
    with pytest.raises(UserError, match=r"two\.yaml:2 datasets\[0\]: unknown dataset 'digts'"):
        load_all(both, REGISTRY)


def test_where_one_matrix_is_wanted_a_suite_is_refused() -> None:
    for call in (lambda: load("paper", REGISTRY), lambda: robench.run("paper")):
        with pytest.raises(UserError, match="several matrices in one") as error:
            call()
        assert "run_all" in str(error.value)
