"""Cells of a leaderboard, made from predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from robench.scoring.rows import CellRecord

Cell = tuple[CellRecord, pd.DataFrame, dict[str, Any]]

RECORD = CellRecord(
    key="00" * 32,
    dataset="digits",
    model="resnet18",
    recipe="standard",
    defense="none",
    pruning_rate=0.0,
    threat="white-box",
    surrogate=None,
    attack="fgsm",
    norm="linf",
    epsilon=0.1,
    seed=0,
)


@pytest.fixture(scope="session")
def make_cell() -> Callable[..., Cell]:
    """`make_cell(right, broken, distance=…, flags=…, seconds=…, attack=…, …)`: one cell."""

    def build(
        right: Sequence[bool],
        broken: Sequence[bool],
        *,
        distance: Sequence[float] | None = None,
        image_ids: Sequence[str] | None = None,
        flags: Sequence[str] = (),
        seconds: float = 1.0,
        sparsity: float = 0.0,
        passes: int = 10,
        **labels: Any,
    ) -> Cell:
        correct = np.array(right, dtype=bool)
        success = correct & np.array(broken, dtype=bool)
        n = len(correct)
        distances = np.full(n, 0.05) if distance is None else np.array(distance, dtype=float)
        ids = image_ids if image_ids is not None else [f"image-{place}" for place in range(n)]
        frame = pd.DataFrame(
            {
                "image_id": pd.Series(list(ids), dtype=object),
                "group_id": pd.Series(list(ids), dtype=object),
                "label": np.zeros(n, dtype=np.int32),
                "clean_prediction": np.where(correct, 0, 1).astype(np.int32),
                "adversarial_prediction": np.where(correct & ~success, 0, 1).astype(np.int32),
                "clean_correct": correct,
                "success": success,
                "linf": distances.astype(np.float32),
                "l2": (10 * distances).astype(np.float32),
                "l0": np.round(1000 * distances).astype(np.int32),
                "forwards": np.arange(n, dtype=np.int32) + passes,
                "backwards": np.full(n, passes, dtype=np.int32),
                "first_success": pd.array([None] * n, dtype="Int32"),
                "clean_margin": np.zeros(n, dtype=np.float32),
                "adversarial_margin": np.zeros(n, dtype=np.float32),
            }
        )
        metadata = {"seconds": seconds, "sparsity": sparsity, "flags": list(flags)}
        return replace(RECORD, **labels), frame, metadata

    return build
