"""What a run says of its victims, read from a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from robench import outcomes
from robench.results import Run, find_run
from robench.store import Store

N = 80
BROKEN = {
    ("small-cnn", "fgsm"): 20, ("small-cnn", "pgd"): 24, ("mlp", "fgsm"): 60, ("mlp", "pgd"): 66,
}


def frame(broken: int) -> pd.DataFrame:
    ids = [f"test/{place:03}" for place in range(N)]
    labels = (np.arange(N) % 2).astype(np.int32)
    success = np.arange(N) < broken
    return pd.DataFrame(
        {
            "image_id": ids, "group_id": ids, "label": labels, "clean_prediction": labels,
            "adversarial_prediction": np.where(success, 1 - labels, labels).astype(np.int32),
            "clean_correct": np.ones(N, dtype=bool), "success": success,
            "linf": np.full(N, 0.1, np.float32), "l2": np.ones(N, np.float32),
            "l0": np.ones(N, np.int32), "forwards": np.ones(N, np.int32),
            "backwards": np.ones(N, np.int32),
            "first_success": pd.array([None] * N, dtype="Int32"),
            "clean_margin": np.ones(N, np.float32),
            "adversarial_margin": np.where(success, -1, 1).astype(np.float32),
        }
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder: Path = tmp_path_factory.mktemp("store")
    store = Store(folder)
    cells: list[dict[str, Any]] = []
    for place, ((model, attack), broken) in enumerate(BROKEN.items()):
        key = f"{place:064x}"
        cells.append(
            {
                "key": key, "dataset": "digits", "model": model, "recipe": "standard",
                "defense": "none", "pruning_rate": 0.0, "threat": "white-box", "surrogate": None,
                "attack": attack, "norm": "linf", "epsilon": 0.1, "epsilon_text": "0.1", "seed": 0,
            }
        )
        metadata = {"seconds": 1.0, "sparsity": 0.0, "flags": []}
        store.write("outcomes", key, outcomes.to_bytes(frame(broken), metadata))
    store.write_run(
        "digits-run",
        {"id": "digits-run", "name": "digits", "matrix": {"name": "digits"}, "datasets": {},
         "cells": cells, "executions": []},
    )
    return find_run(store, None)


def test_table_compares_the_worst_case(run: Run) -> None:
    table = run.table()
    (held,) = table.comparisons
    assert held.condition.attacks == ("fgsm", "pgd")
    assert [(one.name.split(" ")[0], one.n_robust, one.tier) for one in held.standings] == [
        ("small-cnn", N - 24, 1), ("mlp", N - 66, 2),
    ]
    worst = [row for row in table.rows if row["attack"] == "worst-case"]
    assert [round(row["robust_accuracy"] * N) for row in worst] == [N - 24, N - 66]
    assert run.rows() == table.rows


def test_comparisons_of_every_attack(run: Run) -> None:
    assert [held.condition.attack for held in run.comparisons()] == ["fgsm", "pgd", "worst-case"]
    assert [held.pairs[0].b for held in run.comparisons()] == [40, 42, 42]
