"""Leaderboards for programs: CSV and JSON, with every column and every digit."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from robench.reporting.sheet import Sheet
from robench.reporting.table import RunTable
from robench.scoring.rows import COLUMNS

if TYPE_CHECKING:
    import pandas as pd


def to_csv(table: RunTable) -> str:
    """One line per row, `COLUMNS` in order, floats with all their digits, missing values empty."""
    return _csv(COLUMNS, table.rows)


def read_csv(text: str) -> pd.DataFrame:
    """The leaderboard that `to_csv` wrote, bit for bit and with the types of `DTYPES`.

    No name ("NA", "null") is taken for a missing value. Raises ValueError where columns or types
    are others.
    """
    import pandas as pd

    from robench.scoring.leaderboard import DTYPES

    rows = list(csv.reader(io.StringIO(text, newline="")))
    if not rows or tuple(rows[0]) != COLUMNS:
        raise ValueError(f"leaderboard columns: expected {COLUMNS}, got {rows[:1]}")
    read = [dict(zip(COLUMNS, row, strict=True)) for row in rows[1:]]
    return pd.DataFrame(
        {
            name: pd.Series([_value(name, row[name], kind) for row in read], dtype=kind)
            for name, kind in DTYPES.items()
        }
    )


def to_json(table: RunTable) -> str:
    """An object with `name`, `run`, `columns`, `rows`, `failures`, `findings` and `facts`.

    Missing values and numbers that JSON does not have (NaN, infinity) are null.
    """
    content = {
        "name": table.name,
        "run": table.run_id,
        "columns": list(COLUMNS),
        "rows": [{name: _plain(row[name]) for name in COLUMNS} for row in table.rows],
        "failures": [
            {"key": failure.key, "label": failure.label, "error": failure.error}
            for failure in table.failures
        ],
        "findings": [finding.as_dict() for finding in table.findings],
        "facts": _plain(table.facts),
    }
    return json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def sheet_to_csv(sheet: Sheet) -> str:
    """The long rows of a sheet: one line per number or comparison, missing values empty."""
    return _csv(sheet.columns, sheet.rows)


def sheet_to_json(sheet: Sheet) -> str:
    """An object with `name`, `run`, `layout`, `lead`, `notes`, `columns` and the long `rows`."""
    content = {
        "name": sheet.title, "run": sheet.run_id, "layout": sheet.layout,
        "lead": list(sheet.lead), "notes": list(sheet.notes), "columns": list(sheet.columns),
        "rows": [{name: _plain(row[name]) for name in sheet.columns} for row in sheet.rows],
    }
    return json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow("" if row[name] != row[name] else row[name] for name in columns)
    return text.getvalue()


def _value(column: str, text: str, kind: object) -> str | int | float | None:
    if kind == np.dtype(np.float64):
        return float(text) if text else math.nan
    if kind == np.dtype(np.int64):
        return int(text)
    return None if column == "surrogate" and not text else text


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
