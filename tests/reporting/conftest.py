"""Runs to report on: two victims, two attacks, two epsilons, one failed cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from robench.reporting import Failure, RunTable
from robench.scoring.rows import CellRecord, Row, leaderboard_rows

N = 40


def _cell(
    model: str,
    attack: str,
    epsilon: float,
    broken: int,
    *,
    flags: tuple[str, ...] = (),
    sparsity: float = 0.0,
    **labels: Any,
) -> tuple[CellRecord, pd.DataFrame, dict[str, Any]]:
    right = np.arange(N) < 38
    success = right & (np.arange(N) < broken)
    frame = pd.DataFrame(
        {
            "image_id": [f"image-{place}" for place in range(N)],
            "label": np.zeros(N, dtype=np.int32),
            "clean_prediction": np.where(right, 0, 1),
            "clean_correct": right,
            "success": success,
            "linf": np.full(N, epsilon / 3),
            "l2": np.full(N, epsilon),
            "l0": np.full(N, 3),
            "forwards": np.full(N, 11),
            "backwards": np.full(N, 10),
        }
    )
    settings: dict[str, Any] = {
        "key": "ab" * 32,
        "dataset": "digits",
        "model": model,
        "recipe": "standard",
        "defense": "none",
        "pruning_rate": 0.0,
        "threat": "white-box",
        "surrogate": None,
        "attack": attack,
        "norm": "linf",
        "epsilon": epsilon,
        "seed": 0,
    }
    metadata = {"seconds": 1 / 3, "sparsity": sparsity, "flags": list(flags)}
    return CellRecord(**{**settings, **labels}), frame, metadata


@pytest.fixture(scope="session")
def make_board() -> Callable[..., list[Row]]:
    """`make_board((model, attack, epsilon, broken, {settings}), …)`: their leaderboard's rows."""

    def build(*cells: tuple[Any, ...]) -> list[Row]:
        return leaderboard_rows(
            _cell(*cell[:4], **(cell[4] if len(cell) > 4 else {})) for cell in cells
        )

    return build


@pytest.fixture(scope="session")
def run_table(make_board: Callable[..., list[Row]]) -> RunTable:
    masked = {"flags": ("zero-gradient",), "pruning_rate": 0.3, "sparsity": 0.2987}
    pruned = {"pruning_rate": 0.3, "sparsity": 0.2987}
    return RunTable(
        rows=make_board(
            ("resnet18", "fgsm", 0.01, 5),
            ("resnet18", "fgsm", 8 / 255, 11),
            ("resnet18", "pgd", 0.01, 7),
            ("resnet18", "pgd", 8 / 255, 38),
            ("kwta", "fgsm", 0.01, 0, masked),
            ("kwta", "fgsm", 8 / 255, 0, masked),
            ("kwta", "pgd", 0.01, 1, pruned),
            ("kwta", "pgd", 8 / 255, 2, pruned),
        ),
        name="chest_pruning",
        run_id="20250102-abcdef",
        facts={
            "datasets": {
                "digits": {
                    "train": 1000,
                    "validation": 200,
                    "test": 40,
                    "classes": ["zero", "one"],
                    "duplicates": {"train-test": 3},
                    "fingerprint": "f0" * 32,
                }
            },
            "versions": {"python": "3.12.1", "torch": "2.11"},
            "device": "cpu",
            "matrix": {"name": "chest_pruning", "seeds": [0]},
            "git_commit": None,
            "wall_seconds": 125.4,
        },
        failures=(
            Failure(
                key="cd" * 32,
                label="kwta | jsma | 0.01",
                error="Traceback (most recent call last):\n  File a.py\nRuntimeError: 8 < 9 & 50 %",
            ),
        ),
        epsilon_text={8 / 255: "8/255"},
    )
