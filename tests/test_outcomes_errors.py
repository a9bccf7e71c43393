"""What an outcome table may not be."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from robench.errors import UserError
from robench.outcomes import SCHEMA, from_bytes, to_bytes, validate


@pytest.fixture
def frame() -> pd.DataFrame:
    """Two images: one broken at step 2, one that withstands."""
    return pd.DataFrame(
        {
            "image_id": ["first", "second"],
            "group_id": ["", ""],
            "label": [0, 1],
            "clean_prediction": [0, 1],
            "adversarial_prediction": [1, 1],
            "clean_correct": [True, True],
            "success": [True, False],
            "linf": [0.01, 0.0],
            "l2": [0.5, 0.0],
            "l0": [7, 0],
            "forwards": [10, 10],
            "backwards": [10, 10],
            "first_success": pd.array([2, None], dtype="Int32"),
            "clean_margin": [1.0, 2.0],
            "adversarial_margin": [-1.0, 0.5],
        }
    )


def file_of(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink)
    return bytes(sink.getvalue())


def test_the_table_itself_is_right(frame: pd.DataFrame) -> None:
    validate(frame)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("clean_prediction", [1, 1], "clean_correct contradicts clean_prediction"),
        ("adversarial_prediction", [0, 1], "success although adversarial_prediction is the label"),
        ("image_id", ["first", "first"], "image_id stands twice: 1 of 2 images, first 'first'"),
        ("image_id", ["first", None], "no image_id"),
        ("label", [0.0, math.nan], "no label"),
        ("clean_prediction", [0.0, math.nan], "no clean_prediction"),
        ("adversarial_prediction", pd.array([1, None], dtype="Int32"), "no adversarial_prediction"),
        ("forwards", [10, -1], "negative forwards: 1 of 2 images, first 'second'"),
        ("backwards", [-1, 10], "negative backwards"),
        ("l0", [-7, 0], "negative l0"),
        ("first_success", pd.array([-2, None], dtype="Int32"), "negative first_success"),
        ("first_success", [-2.0, math.nan], "negative first_success"),
        ("linf", [-0.01, 0.0], "negative linf"),
        ("l2", [math.nan, 0.0], "success without a distance in l2"),
    ],
)
def test_contradictions(
    frame: pd.DataFrame, column: str, values: list[object], message: str
) -> None:
    frame[column] = values
    with pytest.raises(ValueError, match=message):
        validate(frame)
    with pytest.raises(ValueError, match=message):
        to_bytes(frame, {})


def test_success_on_an_image_that_was_wrong_before(frame: pd.DataFrame) -> None:
    frame["clean_prediction"] = [2, 1]
    frame["clean_correct"] = [False, True]
    with pytest.raises(ValueError, match="success on an image that is wrong before the attack"):
        validate(frame)


def test_columns_must_be_complete_and_in_order(frame: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"missing \['l0'\], unknown \[\]"):
        validate(frame.drop(columns="l0"))
    with pytest.raises(ValueError, match=r"unknown \['extra'\]"):
        validate(frame.assign(extra=1))
    with pytest.raises(ValueError, match="another order"):
        validate(frame[frame.columns[::-1]])


def test_values_and_metadata_that_do_not_fit(frame: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="4000000000"):
        to_bytes(frame.assign(forwards=np.array([4_000_000_000, 1])), {})
    with pytest.raises(ValueError, match="JSON"):
        to_bytes(frame, {"seconds": math.nan})
    with pytest.raises(TypeError, match="JSON"):
        to_bytes(frame, {"seconds": object()})


@pytest.mark.parametrize("data", [b"", b"image_id,label\n", b"PAR1" + b"\0" * 40 + b"PAR1"])
def test_bytes_that_are_no_parquet(data: bytes) -> None:
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        from_bytes(data)


def test_file_that_was_cut_short(frame: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        from_bytes(to_bytes(frame, {})[:-20])


def test_parquet_that_is_no_outcome_table(frame: pd.DataFrame) -> None:
    table = parquet.read_table(pa.BufferReader(to_bytes(frame, {})))
    with pytest.raises(UserError, match=r"column 0 .*got 'x: int64'\n  expected image_id: string"):
        from_bytes(file_of(pa.table({"x": [1]})))
    with pytest.raises(UserError, match="no column adversarial_margin"):
        from_bytes(file_of(table.drop_columns(["adversarial_margin"])))
    with pytest.raises(UserError, match="more columns"):
        from_bytes(file_of(table.append_column("extra", pa.array([1, 2]))))
    with pytest.raises(UserError, match="no robench metadata"):
        from_bytes(file_of(table.replace_schema_metadata(None)))
    with pytest.raises(UserError, match="not JSON"):
        from_bytes(file_of(table.replace_schema_metadata({b"robench": b"{"})))
    with pytest.raises(UserError, match="no mapping"):
        from_bytes(file_of(table.replace_schema_metadata({b"robench": b"[1]"})))


def test_parquet_with_empty_values() -> None:
    schema = pa.schema([field.with_nullable(True) for field in SCHEMA])
    table = pa.table({field.name: pa.nulls(1, field.type) for field in schema}, schema=schema)
    with pytest.raises(UserError, match="column image_id has empty values"):
        from_bytes(file_of(table.replace_schema_metadata({b"robench": b"{}"})))
