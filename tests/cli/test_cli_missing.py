"""`robench run` on matrices whose data sets are not here, and on suites."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.data.downloads import MAKERS

DIGITS = {"digits": {"limit": {"train": 200, "test": 40}}}


@pytest.fixture
def half(written) -> Path:
    return written(datasets=[DIGITS, "roct", "messidor"])


def test_a_dry_run_prints_the_plan_and_what_is_missing(robench, half, fine, tmp_path) -> None:
    told = robench("run", "-m", half, "--dry-run", "--store", tmp_path / "none")
    said = " ".join(fine(told).split())
    assert "tiny: 1 cells, and 2 that need data sets which are not found" in said
    assert "data set digits: train 200" in said
    assert "data set roct: not found" in said
    assert "small-cnn · standard · digits fgsm 0.1 1 – –" in said
    assert "small-cnn · standard · roct fgsm 0.1 – – 1" in said
    assert "to make: 1 cells, 1 trainings" in said
    assert "data sets that are not found: 2" in said
    lines = told.out.splitlines()
    assert sum(line.startswith("  get: ") for line in lines) == 2
    assert sum(line.startswith("  layout: ") for line in lines) == 2
    assert any("https://www.kaggle.com/datasets/paultimothymooney/kermany2018" in line
               for line in lines)
    assert f"{half}:7 datasets[1]: data set 'roct' is not found" in told.out
    assert told.err == ""
    assert not (tmp_path / "none").exists()


def test_a_run_ends_with_2_and_the_list(robench, half, tmp_path) -> None:
    told = robench("run", "-m", half, "--store", tmp_path / "none")
    assert told.code == 2
    assert told.out == ""
    assert told.err.startswith(f"error: {half}:7 datasets[1]: data set 'roct' is not found")
    assert told.err.count("  get: ") == told.err.count("  layout: ") == 2
    assert told.err.rstrip().endswith("expected them, or --available to run what can be run")
    assert "Traceback" not in told.err
    assert not (tmp_path / "none").exists()


def test_what_is_available_is_run_and_the_rest_is_said(robench, half, tmp_path) -> None:
    told = robench("run", "-m", half, "--available", "--store", tmp_path / "s", "--device", "cpu",
                   "--out", tmp_path / "out")
    assert told.code == 0
    said = " ".join(told.err.split())
    for label in ("roct", "messidor"):
        assert f"warning: tiny: 1 cells of data set '{label}' are left out: it is not found" in said
    assert "1 cells, 0 found in the store" in said
    assert "roct" not in told.out
    assert (tmp_path / "out" / "leaderboard.csv").is_file()


def test_nothing_is_available(robench, written) -> None:
    told = robench("run", "-m", written(datasets=["roct"]), "--available")
    assert told.code == 2
    assert "expected at least one of them" in told.err


def test_a_matrix_that_lacks_nothing_says_nothing(robench, written, fine, tmp_path) -> None:
    said = fine(robench("run", "-m", written(), "--dry-run", "--store", tmp_path / "none"))
    assert "no data" not in said
    assert "not found" not in said


@pytest.fixture
def suite(written, tmp_path: Path) -> Path:
    matrices: dict[str, dict[str, Any]] = {
        "first": {}, "second": {"datasets": [{"roct": {"image_size": 8}}]},
        "third": {"attacks": ["noise"]},
    }
    for name, changed in matrices.items():
        written(name=name, **changed).rename(tmp_path / f"{name}.yaml")
    path = tmp_path / "suite.yaml"
    path.write_text("name: suite\ninclude: [first.yaml, second.yaml, third.yaml]\n")
    return path


def test_a_suite_is_planned_and_run_matrix_after_matrix(robench, suite, fine, tmp_path) -> None:
    store = tmp_path / "store"
    said = fine(robench("run", "-m", suite, "--dry-run", "--store", store))
    places = [said.index(f"{name}: ") for name in ("first", "second", "third")]
    assert places == sorted(places)
    assert robench("run", "-m", suite, "--store", store).code == 2
    told = robench("run", "-m", suite, "--available", "--store", store, "--out", tmp_path / "out",
                   "--device", "cpu")
    assert told.code == 0
    assert "second: 1 cells of data set 'roct' are left out" in " ".join(told.err.split())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["first", "third"]
    assert {path.name for path in (tmp_path / "out" / "first").iterdir()} == {
        "leaderboard.csv", "leaderboard.md", "run.json"}
    # The network was trained once for both.
    assert told.err.count("epoch 1/1") == 1
    MAKERS["roct"](tmp_path / "roct")
    whole = robench("run", "-m", suite, "--store", store, "--device", "cpu")
    assert whole.code == 0
    assert whole.err.count("1 found in the store") == 2


def test_a_failure_in_one_matrix_of_a_suite_is_the_end_of_all(
    robench, suite, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from robench.attacks.fgsm import FGSM

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(FGSM, "perturb", fails)
    monkeypatch.setattr(FGSM, "_ladder", fails, raising=False)
    told = robench("run", "-m", suite, "--available", "--store", tmp_path / "s", "--device", "cpu")
    assert told.code == 1
    assert "1 of 1 cells failed" in told.err
    assert "noise" in told.out


def test_the_papers_are_planned_without_any_data(robench, fine, tmp_path) -> None:
    said = fine(robench("run", "-m", "paper", "--dry-run", "--store", tmp_path / "none"))
    for name in ("meddef", "chen", "chen-pruning", "drsn", "muoka"):
        assert f"paper-{name}: 0 cells, and " in said
    assert "data sets that are not found: 8" in said
    assert robench("run", "-m", "paper", "--store", tmp_path / "none").code == 2
