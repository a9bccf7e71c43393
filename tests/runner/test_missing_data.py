"""Matrices of which some data sets are not on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import robench
from robench import api
from robench.data.kermany import ROCT
from robench.errors import MissingDataError, UserError
from robench.matrix import load
from robench.registry import Registry
from robench.runner.prepare import prepare
from tests.data.downloads import MAKERS
from tests.runner.conftest import tiny

QUICK = {"recipes": [{"standard": {"epochs": 1, "batch_size": 8}}],
         "models": [{"mlp": {"width": 8}}], "pruning": {"rates": [0]}, "attacks": ["fgsm"],
         "epsilons": [0.1], "samples": 4}
HERE = {"digits": {"limit": {"train": 40, "test": 4}}}
NOT_HERE = ["roct", {"isic2017": {"task": "binary"}}]


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROBENCH_DATA", raising=False)


def matrix(*datasets: object, **changes: object) -> dict[str, object]:
    return tiny(**{**QUICK, "datasets": list(datasets), **changes})


def test_all_that_is_missing_is_collected_and_the_rest_is_planned() -> None:
    prepared = prepare(load(matrix("roct", HERE, NOT_HERE[1]), Registry.discover()))
    assert list(prepared.missing) == ["roct", "isic2017"]
    assert list(prepared.datasets) == ["digits"]
    assert {cell.target.training.dataset.label for cell in prepared.plan.cells} == {"digits"}
    assert [item.label for item in prepared.plan.matrix.datasets] == ["digits"]
    assert len(prepared.waiting) == 2 * len(prepared.plan.ladders)


def test_cells_and_run_are_those_of_a_matrix_without_them() -> None:
    registry = Registry.discover()
    with_missing = prepare(load(matrix("roct", HERE), registry)).plan
    without = prepare(load(matrix(HERE), registry)).plan
    assert with_missing.run_id == without.run_id
    assert [ladder.key for ladder in with_missing.ladders] == [
        ladder.key for ladder in without.ladders]


def test_a_run_needs_all_of_them(store: Path) -> None:
    with pytest.raises(MissingDataError) as error:
        robench.run(matrix(HERE, *NOT_HERE), store=store)
    assert [each.name for each in error.value.missing] == ["roct", "isic2017"]
    told = str(error.value)
    assert told.count("  get: ") == told.count("  layout: ") == 2
    assert "matrix datasets[1]: data set 'roct' is not found" in told
    assert told.endswith("expected them, or available=True")
    assert not store.exists()


def test_what_is_available_is_run(store: Path) -> None:
    run = robench.run(matrix(HERE, *NOT_HERE), store=store, available=True)
    assert set(run.leaderboard()["dataset"]) == {"digits"}
    again = robench.run(matrix(HERE), store=store)
    assert again.record["id"] == run.record["id"]


def test_nothing_available_is_an_error_all_the_same(store: Path) -> None:
    with pytest.raises(MissingDataError, match="roct") as error:
        robench.run(matrix(*NOT_HERE), store=store, available=True)
    assert "expected at least one of them" in str(error.value)


def test_a_data_set_that_was_brought_is_no_longer_missing(store: Path, tmp_path: Path) -> None:
    asked = matrix(HERE, {"roct": {"image_size": 8}})
    assert list(api.plan(asked, store=store).prepared.missing) == ["roct"]
    MAKERS["roct"](tmp_path / "roct")
    job = api.plan(asked, store=store)
    assert not job.prepared.missing
    assert not job.prepared.waiting
    assert set(job.execute().leaderboard()["dataset"]) == {"digits", "roct"}


def test_suites_run_what_is_there_and_say_each_missing_set_once(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, datasets in (("a", [HERE, "roct"]), ("b", ["roct"]), ("c", [HERE])):
        text = yaml.safe_dump({**matrix(*datasets), "name": name})
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "all.yaml").write_text("name: all\ninclude: [a.yaml, b.yaml, c.yaml]\n")
    with pytest.raises(MissingDataError) as error:
        robench.run_all(tmp_path / "all.yaml", store=store)
    assert [each.name for each in error.value.missing] == ["roct"]
    looked = []
    find = ROCT.__class__.find
    monkeypatch.setattr(ROCT.__class__, "find",
                        lambda self, path: looked.append(self.name) or find(self, path))
    runs = robench.run_all(tmp_path / "all.yaml", store=store, available=True)
    assert [run.record["name"] for run in runs] == ["a", "c"]
    assert looked == ["roct"]
    # Both ran the same cells, which were made once.
    assert runs[0].record["cells"] == runs[1].record["cells"]
    assert not runs[1].record["executions"]


def test_what_is_wrong_and_not_missing_stops_at_once(tmp_path: Path) -> None:
    MAKERS["roct"](tmp_path / "roct")
    (tmp_path / "roct" / "train" / "CNV" / "new.jpeg").write_bytes(b"no image")
    with pytest.raises(UserError, match="not a readable image") as error:
        api.plan(matrix("isic2017", "roct"))
    assert not isinstance(error.value, MissingDataError)
