"""CSV and JSON hold every column and every digit."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.reporting import RunTable, render
from robench.reporting.delimited import read_csv
from robench.scoring.leaderboard import DTYPES, as_frame, rows_equal
from robench.scoring.rows import COLUMNS, Row

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=8)
FLOATS = st.floats(allow_nan=True, allow_infinity=True)
INTEGERS = st.integers(-(2**63), 2**63 - 1)

#: From version 3 on pandas reads floats exactly, and the setting is deprecated.
EXACT = {} if int(pd.__version__.split(".")[0]) >= 3 else {"float_precision": "round_trip"}


def strict(text: str) -> object:
    def refuse(constant: str) -> object:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_csv_has_exactly_the_columns_and_no_index(run_table: RunTable) -> None:
    lines = render(run_table, "csv").splitlines()
    assert lines[0] == ",".join(COLUMNS)
    assert len(lines) == 1 + len(run_table.rows) == 13
    first = dict(zip(COLUMNS, lines[1].split(","), strict=True))
    assert first["surrogate"] == first["flags"] == ""
    assert first["robust_accuracy"] == repr(33 / 40)
    assert first["seconds"] == repr(1 / 3)


def test_csv_is_read_by_pandas_to_an_equal_frame(run_table: RunTable) -> None:
    text = render(run_table, "csv")
    frame = pd.read_csv(io.StringIO(text), **EXACT)
    board = as_frame(run_table.rows)
    expected = board.replace({"flags": {"": None}})
    pd.testing.assert_frame_equal(frame, expected, check_exact=True, check_dtype=False)
    pd.testing.assert_frame_equal(read_csv(text), board, check_exact=True)


def values(kind: object) -> st.SearchStrategy[object]:
    """What may stand in a column of this type."""
    if kind == np.dtype(np.float64):
        return FLOATS
    return INTEGERS if kind == np.dtype(np.int64) else TEXT


@settings(max_examples=40, deadline=None)
@given(data=st.data(), n=st.integers(0, 3))
def test_any_leaderboard_survives_csv(data: st.DataObject, n: int) -> None:
    frame = pd.DataFrame(
        {
            name: pd.Series(data.draw(st.lists(values(kind), min_size=n, max_size=n)), dtype=kind)
            for name, kind in DTYPES.items()
        }
    )
    rows = frame.to_dict("records")
    back = read_csv(render(RunTable(rows, "name", "run"), "csv"))
    assert rows_equal(back, frame)
    pd.testing.assert_frame_equal(back, frame, check_exact=True)


@pytest.mark.parametrize("name", ["NA", "null", "nan", "None", "none", 'say "a", b', "1"])
def test_names_that_look_like_something_else(
    make_board: Callable[..., list[Row]], name: str
) -> None:
    rows = make_board((name, "fgsm", 0.1, 3, {"defense": name, "surrogate": name}))
    back = read_csv(render(RunTable(rows, "name", "run"), "csv"))
    pd.testing.assert_frame_equal(back, as_frame(rows), check_exact=True)


def test_json_is_strict_and_holds_everything(run_table: RunTable) -> None:
    content = strict(render(run_table, "json"))
    assert isinstance(content, dict)
    assert list(content) == ["name", "run", "columns", "rows", "failures", "findings", "facts"]
    assert (content["name"], content["run"]) == ("chest_pruning", "20250102-abcdef")
    assert content["columns"] == list(COLUMNS)
    assert content["facts"] == run_table.facts
    assert content["failures"] == [
        {"key": failure.key, "label": failure.label, "error": failure.error}
        for failure in run_table.failures
    ]
    assert all(list(row) == list(COLUMNS) for row in content["rows"])
    assert content["rows"][0]["surrogate"] is None
    assert isinstance(content["rows"][0]["n"], int)
    frame = pd.DataFrame(content["rows"])
    assert rows_equal(frame, as_frame(run_table.rows))
    assert frame["seconds"].tolist() == [row["seconds"] for row in run_table.rows]


def test_json_has_no_number_that_json_lacks(run_table: RunTable) -> None:
    rows = [{**row, "asr": math.nan, "epsilon": math.inf} for row in run_table.rows]
    facts = {"wall_seconds": math.nan, "counts": (np.int64(3), np.float32(math.inf)), "none": None}
    content = strict(render(replace(run_table, rows=rows, facts=facts), "json"))
    assert isinstance(content, dict)
    assert {row["asr"] for row in content["rows"]} == {None}
    assert {row["epsilon"] for row in content["rows"]} == {None}
    assert content["facts"] == {"wall_seconds": None, "counts": [3, None], "none": None}


def test_empty_leaderboard() -> None:
    table = RunTable([], "name", "run")
    assert render(table, "csv") == ",".join(COLUMNS) + "\n"
    pd.testing.assert_frame_equal(read_csv(render(table, "csv")), as_frame([]))
    content = strict(render(table, "json"))
    assert isinstance(content, dict)
    assert content["rows"] == []
