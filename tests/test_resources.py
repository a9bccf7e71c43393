"""What ships with robench: its matrices parse and can be planned, wherever they lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from robench import resources
from robench.data.paths import resolve
from robench.errors import UserError
from robench.matrix import Matrix, load, load_all
from robench.matrix.document import Document
from robench.matrix.suite import is_suite
from robench.plan import DataFacts
from robench.planning import make_plan
from robench.registry import KINDS, Registry
from robench.runner.networks import new_attack
from robench.runner.prepare import prepare

EVERY = sorted(resources.matrices_folder().glob("*.yaml"))
SUITES = [path for path in EVERY if is_suite(Document.read(path))]
SHIPPED = [path for path in EVERY if path not in SUITES]
FACTS = DataFacts("f", num_classes=2, in_channels=1, image_size=(64, 64), train=9, validation=9,
                  test=9)


def read(path: Path) -> Matrix:
    return load(path.stem, Registry.discover())


def test_something_is_shipped() -> None:
    assert "quickstart" in [path.stem for path in SHIPPED]
    for kind in KINDS:
        assert list((resources.registry_folder() / f"{kind}s").glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_matrix_has_work_to_do(path: Path) -> None:
    matrix = read(path)
    plan = make_plan(
        matrix, {item.label: replace(FACTS, fingerprint=item.label) for item in matrix.datasets},
        {file: "0" * 64 for item in (*matrix.models, *matrix.defenses)
         for file in item.files.values()},
    )
    assert plan.cells
    assert len({cell.key for cell in plan.cells}) == len(plan.cells)
    assert matrix.name == path.stem


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_a_shipped_suite_is_of_shipped_matrices(path: Path) -> None:
    assert Document.read(path).data["name"] == path.stem
    included = {Path(matrix.source) for matrix in load_all(path.stem, Registry.discover())}
    assert included <= set(SHIPPED)
    assert {file for file in SHIPPED if file.stem.startswith(f"{path.stem}-")} >= included


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_attacks_of_a_shipped_matrix_take_its_settings(path: Path) -> None:
    registry = Registry.discover()
    for attack in read(path).attacks:
        new_attack(attack, registry)


@pytest.mark.parametrize("path", EVERY, ids=lambda path: path.stem)
def test_a_shipped_matrix_says_in_its_first_line_what_it_is(path: Path) -> None:
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    assert first.startswith("# ")
    assert len(first) > 10


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_matrix_can_be_planned_on_its_data(path: Path) -> None:
    matrix = read(path)
    for item in matrix.datasets:
        if item.card.traits["source"] == "download":
            pytest.skip(f"{item.name} would be downloaded")
        if item.settings.get("path") is not None:
            try:
                resolve(item.settings["path"], where=item.label)
            except UserError:
                pytest.skip(f"{item.settings['path']} is not there")
    for item in (*matrix.models, *matrix.defenses):
        for file in item.files.values():
            if not Path(file).expanduser().is_file():
                pytest.skip(f"{file} is not there")
    prepared = prepare(matrix)
    labels = {*prepared.datasets, *prepared.missing}
    assert labels == {item.label for item in matrix.datasets}
    assert bool(prepared.plan.cells) == bool(prepared.datasets)


def test_an_installed_wheel_has_its_own_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "robench"
    package.mkdir(parents=True)
    monkeypatch.setattr(resources, "_PACKAGE", package)
    assert resources.registry_folder() == tmp_path / "site-packages" / "registry"
    for name in ("_registry", "_benchmarks"):
        (package / name).mkdir()
    assert resources.registry_folder() == package / "_registry"
    assert resources.matrices_folder() == package / "_benchmarks"
