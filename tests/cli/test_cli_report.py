"""`robench report` in its layouts, on a run that was put together without a network."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from robench import outcomes
from robench.reporting import FORMATS
from robench.reporting.layouts import images_of
from robench.results import find_run
from robench.store import Store

N = 60
VICTIMS = (("resnet18", 0.0), ("resnet18", 0.3), ("meddef", 0.0), ("meddef", 0.3))
Robench = Callable[..., Any]


def frame(broken: int) -> pd.DataFrame:
    place = np.arange(N)
    ids, labels = [f"test/{one:03}" for one in place], (place % 2).astype(np.int32)
    success = place < broken
    return pd.DataFrame({
        "image_id": ids, "group_id": ids, "label": labels, "clean_prediction": labels,
        "adversarial_prediction": np.where(success, 1 - labels, labels).astype(np.int32),
        "clean_correct": np.ones(N, dtype=bool), "success": success,
        "linf": np.full(N, 0.1, np.float32), "l2": np.ones(N, np.float32),
        "l0": np.ones(N, np.int32), "forwards": np.ones(N, np.int32),
        "backwards": np.ones(N, np.int32), "first_success": pd.array([None] * N, dtype="Int32"),
        "clean_margin": np.ones(N, np.float32),
        "adversarial_margin": np.where(success, -1, 0.5).astype(np.float32),
    })


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one run."""
    return written_run(tmp_path_factory.mktemp("reported"), [
        ({"model": model, "pruning_rate": rate, "attack": attack}, frame(10 + 8 * place + step))
        for place, (model, rate) in enumerate(VICTIMS)
        for step, attack in enumerate(("fgsm", "pgd"))
    ])


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one run whose images were made on another network."""
    return written_run(tmp_path_factory.mktemp("replayed"), [
        ({"model": model, "threat": "transfer", "surrogate": "resnet34", "attack": "pgd"},
         frame(broken).assign(surrogate_success=np.arange(N) < 40))
        for model, broken in (("resnet18", 50), ("meddef", 10))
    ])


def written_run(folder: Path, made: list[tuple[dict[str, Any], pd.DataFrame]]) -> Path:
    """The store of a run with these cells: what tells each apart, and its images."""
    store = Store(folder)
    cells: list[dict[str, Any]] = []
    for labels, images in made:
        key = f"{len(cells):064x}"
        cells.append({
            "key": key, "dataset": "chest-xray", "recipe": "standard", "defense": "none",
            "pruning_rate": 0.0, "threat": "white-box", "surrogate": None, "norm": "linf",
            "epsilon": 0.05, "epsilon_text": "0.05", "seed": 0, **labels,
        })
        store.write("outcomes", key, outcomes.to_bytes(
            images, {"seconds": 1.0, "sparsity": cells[-1]["pruning_rate"], "flags": []}))
    names = {"models": ("resnet18", "meddef"), "attacks": ("fgsm", "pgd"),
             "recipes": ("standard",), "defenses": ("none",), "datasets": ("chest-xray",)}
    matrix = {axis: [{name: {}, "label": name} for name in named] for axis, named in names.items()}
    store.write_run("chest-run", {
        "id": "chest-run", "name": "chest", "matrix": {"name": "chest", **matrix},
        "datasets": {"chest-xray": {"classes": ["NORMAL", "PNEUMONIA"]}}, "cells": cells,
        "executions": [],
    })
    return store.folder


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("--layout", "epsilon"), {"markdown": "ε 0.05 worst-case", "csv": "not_ranked"}),
        (("-l", "pruning"), {"markdown": "pruned 30 %", "latex": r"\cmidrule"}),
        (("--published", "meddef2025"), {"markdown": "Table 2 of meddef2025", "csv": "row_id"}),
    ],
    ids=["epsilon", "pruning", "published"],
)
def test_layouts(robench: Robench, fine, reported: Path, asked, words, format: str) -> None:
    text = fine(robench("report", *asked, "-f", format, "--store", reported))
    assert words.get(format, "meddef") in text
    if format == "json":
        assert json.loads(text)["layout"] in asked or "--published" in asked


def test_transfers(robench: Robench, fine, replayed: Path) -> None:
    text = fine(robench("report", "-l", "transfer", "-f", "json", "--store", replayed))
    assert [(row["model"], row["fooled"], row["kept"], row["standing"])
            for row in json.loads(text)["rows"]] == [
        ("resnet18", 40, 40, "beaten"), ("meddef", 10, 40, "best")]


ONE_AFTER_ANOTHER = """
import json, sys
from robench.cli.main import app
for args in json.loads(sys.argv[1]):
    assert app(args, standalone_mode=False) in (None, 0), args
heavy = {"torch", "pandas", "scipy", "statsmodels", "sklearn", "matplotlib"}
print("loaded", sorted(heavy & sys.modules.keys()))
"""


def test_layouts_load_no_heavy_library(reported: Path) -> None:
    asked = [["report", *args, "--store", str(reported)] for args in (
        ["-l", "epsilon"], ["-l", "pruning", "-f", "latex"], ["--published", "meddef2025"],
        ["-l", "curves"], ["-l", "attacks", "-f", "csv"], ["-l", "surface", "-f", "json"])]
    done = subprocess.run([sys.executable, "-c", ONE_AFTER_ANOTHER, json.dumps(asked)],
                          capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded []"


def test_the_leaderboard_is_the_default(robench: Robench, fine, reported: Path) -> None:
    asked = fine(robench("report", "--layout", "leaderboard", "--store", reported))
    assert asked == fine(robench("report", "--store", reported))


def test_a_layout_goes_to_a_file(
    robench: Robench, fine, reported: Path, tmp_path: Path
) -> None:
    out = tmp_path / "table.tex"
    said = fine(robench("report", "-l", "epsilon", "-f", "latex", "--output", out,
                        "--store", reported))
    assert said == ""
    assert out.read_text(encoding="utf-8") == fine(
        robench("report", "-l", "epsilon", "-f", "latex", "--store", reported))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("--layout", "epsilom"), ["unknown report layout 'epsilom'", "'epsilon'"]),
        (("--layout", "transfer"), ["no transfer cells", "surrogate"]),
        (("--published", "medef2025"), ["unknown paper 'medef2025'", "'meddef2025'"]),
        (("--published", "muoka2023"), ["no printed number of muoka2023"]),
        (("--published", "meddef2025", "--layout", "epsilon"), ["one of --published and --layout"]),
        (("--published", "meddef2025", "-f", "md"), ["unknown report format 'md'"]),
    ],
)
def test_what_cannot_be_reported(complaint, reported: Path, asked, told) -> None:
    said = complaint("report", *asked, "--store", reported)
    assert all(part in said for part in told), said


def test_every_outcome_is_read_once(
    reported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = find_run(Store(reported), None)
    read: list[str] = []
    kept = Store.read

    def counted(store: Store, kind: str, key: str, *args: Any) -> Any:
        read.append(key)
        return kept(store, kind, key, *args)

    monkeypatch.setattr(Store, "read", counted)
    for details, images in ((False, ()), (True, ()), (True, images_of("medical"))):
        read.clear()
        found = run.table(details=details, images=images).details
        assert (found is not None) == details
        assert bool(found and found.cells) == bool(images)
        assert sorted(read) == sorted(cell["key"] for cell in run.record["cells"])


def test_help_names_the_layouts(robench: Robench, fine, widest) -> None:
    told = fine(robench("report", "--help"))
    flat = " ".join(told.replace("│", " ").split())
    for word in ("--layout", "-l", "--published", "PAPER", "epsilon", "pruning", "transfer"):
        assert word in flat
    assert widest(told) <= 100
