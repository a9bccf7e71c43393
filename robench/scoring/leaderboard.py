"""The leaderboard as a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from robench.scoring.rows import CellRecord, Row, leaderboard_rows
from robench.scoring.worst_case import Columns

#: pandas' own choice for text: "str" from version 3 on, "object" before.
_TEXT: Final = pd.Series([""]).dtype

DTYPES: Final[Mapping[str, Any]] = {
    "dataset": _TEXT,
    "model": _TEXT,
    "recipe": _TEXT,
    "defense": _TEXT,
    "pruning_rate": np.dtype(np.float64),
    "sparsity": np.dtype(np.float64),
    "threat": _TEXT,
    "surrogate": _TEXT,
    "attack": _TEXT,
    "norm": _TEXT,
    "epsilon": np.dtype(np.float64),
    "seed": np.dtype(np.int64),
    "n": np.dtype(np.int64),
    "n_correct": np.dtype(np.int64),
    "clean_accuracy": np.dtype(np.float64),
    "robust_accuracy": np.dtype(np.float64),
    "robust_accuracy_low": np.dtype(np.float64),
    "robust_accuracy_high": np.dtype(np.float64),
    "asr": np.dtype(np.float64),
    "asr_low": np.dtype(np.float64),
    "asr_high": np.dtype(np.float64),
    "mean_distance": np.dtype(np.float64),
    "forwards": np.dtype(np.float64),
    "backwards": np.dtype(np.float64),
    "seconds": np.dtype(np.float64),
    "flags": _TEXT,
}


def leaderboard(
    cells: Iterable[tuple[CellRecord, Columns, Mapping[str, Any]]],
) -> pd.DataFrame:
    """The rows of `leaderboard_rows`, with the columns and types of `DTYPES`."""
    return as_frame(leaderboard_rows(cells))


def as_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Rows of a leaderboard as a table with the columns and types of `DTYPES`."""
    return pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=kind) for name, kind in DTYPES.items()}
    )


def rows_equal(a: pd.DataFrame, b: pd.DataFrame) -> bool:
    """Whether two leaderboards say the same, row by row and to the last bit, but for `seconds`.

    Missing values equal each other; the index and the types of the columns do not matter.
    """
    if list(a.columns) != list(b.columns) or len(a) != len(b):
        return False
    for column in a.columns:
        if column == "seconds":
            continue
        left, right = a[column].to_numpy(dtype=object), b[column].to_numpy(dtype=object)
        missing = pd.isna(left)
        if not np.array_equal(missing, pd.isna(right)):
            return False
        if not bool(np.all(left[~missing] == right[~missing])):
            return False
    return True
