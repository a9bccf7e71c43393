"""What `robench run` and `robench report` print, write and leave alone."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robench.reporting import FORMATS
from robench.scoring.rows import COLUMNS

Robench = Callable[..., Any]


def test_brackets_are_no_markup(robench: Robench, tmp_path: Path, written, fine) -> None:
    told = fine(robench("run", "-m", written(), "--dry-run", "--store", tmp_path / "s[bold]"))
    assert "s[bold]" in "".join(told.split())


def test_a_run(ran: Any, out: Path, widest) -> None:
    assert ran.code == 0
    assert "1 cells, 0 found in the store" in ran.err
    assert "epoch 1/1" in ran.err
    assert "error" not in ran.err
    assert "fgsm" in ran.out
    assert "tiny" in ran.out
    assert widest(ran.out, ran.err) <= 100
    assert "\x1b" not in ran.out + ran.err
    assert sorted(path.name for path in out.iterdir()) == [
        "leaderboard.csv", "leaderboard.md", "run.json"]


def test_what_a_run_writes_is_what_is_reported(robench: Robench, store, out, fine) -> None:
    for format, name in (("markdown", "leaderboard.md"), ("csv", "leaderboard.csv")):
        told = fine(robench("report", "--format", format, "--store", store))
        assert told == (out / name).read_text(encoding="utf-8")
    (record,) = (store / "runs").glob("*.json")
    assert json.loads((out / "run.json").read_text()) == json.loads(record.read_text())


def test_a_run_again_finds_everything(robench: Robench, written, store: Path, ran, fine) -> None:
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    told = robench("run", "-m", written(name="tiny"), "--store", store)
    assert fine(told) == ran.out
    assert told.err == "1 cells, 1 found in the store\n"
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before


def test_a_dry_run_on_an_empty_store(robench: Robench, written, tmp_path, fine, widest) -> None:
    matrix = written(epsilons=[0.1, "8/255"], attacks=["fgsm", "pgd"], models=["small-cnn"])
    told = robench("run", "-m", matrix, "--dry-run", "--store", tmp_path / "none")
    said = " ".join(fine(told).split())
    assert "tiny: 4 cells" in said
    assert "data set digits: train 200" in said
    assert "10 classes; 8×8×1" in said
    assert "small-cnn · standard · digits fgsm 8/255 0.1 2 – pgd 8/255 0.1 2 –" in said
    assert "to make: 4 cells, 1 trainings · found: 0 cells, 0 trainings" in said
    assert told.err == ""
    assert widest(told.out) <= 100
    assert not (tmp_path / "none").exists()


def test_a_dry_run_on_a_store_that_has_some(robench: Robench, written, store: Path, fine) -> None:
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    told = fine(robench("run", "-m", written(epsilons=[0.1, 0.2], defenses=["none", "jpeg"]),
                        "--dry-run", "--store", store))
    said = " ".join(told.split())
    assert "small-cnn · standard · digits fgsm 0.1 0.2 1 1" in said
    assert "jpeg fgsm 0.1 0.2 2 –" in said
    assert "to make: 3 cells, 0 trainings · found: 1 cells, 1 trainings" in said
    whole = " ".join(fine(robench("run", "-m", written(), "--dry-run", "--store", store)).split())
    assert "fgsm 0.1 – 1" in whole
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before


def test_the_store_of_the_environment(
    robench: Robench, store: Path, monkeypatch: pytest.MonkeyPatch, fine
) -> None:
    monkeypatch.setenv("ROBENCH_STORE", str(store))
    assert fine(robench("report")) == fine(robench("report", "--store", store))


@pytest.mark.parametrize("format", FORMATS)
def test_a_report_in_each_format(
    robench: Robench, store: Path, tmp_path: Path, format: str, fine
) -> None:
    told = fine(robench("report", "--format", format, "--store", store))
    assert "fgsm" in told
    assert "worst-case" in told
    assert told.endswith("\n")
    file = tmp_path / "report"
    assert fine(robench("report", "-f", format, "--output", file, "--store", store)) == ""
    assert file.read_text(encoding="utf-8") == told


def test_a_report_is_the_leaderboard(robench: Robench, store: Path, fine) -> None:
    rows = list(csv.DictReader(io.StringIO(fine(robench("report", "-f", "csv", "--store", store)))))
    assert tuple(rows[0]) == tuple(COLUMNS)
    assert [row["attack"] for row in rows] == ["fgsm", "worst-case"]
    assert {row["n"] for row in rows} == {"40"}


def test_ways_to_name_a_run(robench: Robench, store: Path, fine) -> None:
    (record,) = (store / "runs").glob("*.json")
    whole = fine(robench("report", "--store", store))
    for name in (record.stem, record.stem[:7], "tiny", record):
        assert fine(robench("report", name, "--store", store)) == whole


def test_cells_that_were_lost_are_said(robench: Robench, store: Path) -> None:
    for path in (store / "outcomes").rglob("*.parquet"):
        path.unlink()
    for format in FORMATS:
        told = robench("report", "-f", format, "--store", store)
        assert told.code == 0
        assert "warning: 1 of 1 cells of tiny-" in told.err


def test_an_altered_file_is_said_and_made_again(
    robench: Robench, written, store: Path, ran, fine
) -> None:
    (outcomes,) = (store / "outcomes").rglob("*.parquet")
    content = outcomes.read_bytes()
    outcomes.write_bytes(content[:-1] + b"?")
    told = robench("run", "-m", written(), "--store", store)
    assert fine(told) == ran.out
    assert told.err.count("was altered") == 1
    assert str(outcomes) in told.err.replace("\n", "")
    assert "train" not in told.err


def test_images_in_two_splits_are_said(robench: Robench, written, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 6, 6), np.uint8)
    arrays = {f"{split}_{what}": values for split in ("train", "test")
              for what, values in (("images", images), ("labels", np.arange(8) % 2))}
    np.savez(tmp_path / "d.npz", **arrays)
    matrix = written(datasets=[{"npz": {"path": "d.npz", "validation": 0}}])
    told = robench("run", "-m", matrix, "--dry-run")
    assert "warning: data set 'npz'" in told.err
    assert "8 in train-test" in told.err
