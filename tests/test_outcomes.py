"""The outcome table of a cell: what goes in comes out, to the bit."""

from __future__ import annotations

import io
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.outcomes import COLUMNS, SCHEMA, columns_from_bytes, from_bytes, to_bytes, validate

DESIGN = (
    "image_id, group_id, label, clean_prediction, adversarial_prediction, clean_correct, success, "
    "linf, l2, l0, forwards, backwards, first_success, clean_margin, adversarial_margin"
)


def outcomes(labels: list[int], clean: list[int], after: list[int]) -> pd.DataFrame:
    n = len(labels)
    frame = pd.DataFrame(
        {
            "image_id": pd.Series([f"image-{place}" for place in range(n)], dtype=object),
            "group_id": pd.Series(["patient"] * n, dtype=object),
            "label": np.array(labels, dtype=np.int32),
            "clean_prediction": np.array(clean, dtype=np.int32),
            "adversarial_prediction": np.array(after, dtype=np.int32),
        }
    )
    frame["clean_correct"] = frame["clean_prediction"] == frame["label"]
    frame["success"] = frame["clean_correct"] & (frame["adversarial_prediction"] != frame["label"])
    frame["linf"] = np.linspace(0, 0.03, n, dtype=np.float32)
    frame["l2"] = np.linspace(0, 1.7, n, dtype=np.float32)
    frame["l0"] = np.arange(n, dtype=np.int32)
    frame["forwards"] = np.full(n, 41, dtype=np.int32)
    frame["backwards"] = np.full(n, 40, dtype=np.int32)
    frame["first_success"] = pd.array(
        [3 if broken else None for broken in frame["success"]], dtype="Int32"
    )
    frame["clean_margin"] = np.linspace(-1, 1, n, dtype=np.float32)
    frame["adversarial_margin"] = np.full(n, np.nan, dtype=np.float32)
    return frame


@pytest.fixture
def frame() -> pd.DataFrame:
    return outcomes([0, 1, 2, 1], [0, 1, 0, 1], [1, 1, 0, 2])


def test_columns_are_those_of_the_design() -> None:
    assert ", ".join(COLUMNS) == DESIGN
    assert [field.name for field in SCHEMA if field.nullable] == ["first_success"]


def test_round_trip_keeps_values_types_and_metadata(frame: pd.DataFrame) -> None:
    metadata = {
        "seconds": 1.25,
        "flags": ["constant"],
        "sparsity": 0.1 + 0.2,
        "nested": {"a": None},
    }
    back, read = from_bytes(to_bytes(frame, metadata))
    assert read == metadata
    pd.testing.assert_frame_equal(
        back, frame.astype({"image_id": back["image_id"].dtype, "group_id": back["group_id"].dtype})
    )
    assert back["first_success"].dtype == pd.Int32Dtype()
    assert back["linf"].dtype == np.float32


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3), max_size=12), st.integers(0, 2**31))
def test_round_trip_of_any_table(rows: list[tuple[int, int, int]], seconds: int) -> None:
    labels, clean, after = (
        (list(column) for column in zip(*rows, strict=True)) if rows else ([],) * 3
    )
    data = to_bytes(outcomes(labels, clean, after), {"seconds": seconds})
    back, metadata = from_bytes(data)
    validate(back)
    assert to_bytes(back, metadata) == data


def test_columns_are_the_same_without_pandas(frame: pd.DataFrame) -> None:
    for rows in (frame, frame.iloc[:0]):
        data = to_bytes(rows, {"seconds": 1.5})
        table, metadata = from_bytes(data)
        columns, same = columns_from_bytes(data)
        assert same == metadata
        assert [*columns] == [name for name in COLUMNS if name != "first_success"]
        for name, values in columns.items():
            expected = table[name].to_numpy()
            assert values.dtype == (object if name.endswith("_id") else expected.dtype)
            np.testing.assert_array_equal(values, expected)


def test_bytes_do_not_depend_on_index_key_order_or_input_types(frame: pd.DataFrame) -> None:
    data = to_bytes(frame, {"a": 1, "b": 2})
    other = frame.set_axis([9, 7, 5, 3], axis=0).astype({"label": "int64", "linf": "float64"})
    other["first_success"] = [3.0, math.nan, math.nan, 3.0]
    other["image_id"] = other["image_id"].astype("string")
    assert to_bytes(other, {"b": 2, "a": 1}) == data


def test_bytes_differ_where_a_value_differs(frame: pd.DataFrame) -> None:
    other = frame.copy()
    other.loc[0, "l2"] = np.nextafter(frame["l2"].iloc[0], np.float32(1))
    assert to_bytes(other, {}) != to_bytes(frame, {})
    assert to_bytes(frame, {"a": 1}) != to_bytes(frame, {"a": 2})


def test_any_parquet_reader_can_read_it(frame: pd.DataFrame) -> None:
    data = to_bytes(frame, {"seconds": 2.0})
    file = parquet.ParquetFile(pa.BufferReader(data))
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert file.schema_arrow.metadata[b"robench"] == b'{"seconds":2.0}'
    read = pd.read_parquet(io.BytesIO(data))
    assert read["first_success"].isna().tolist() == [False, True, True, False]
    assert read["adversarial_margin"].isna().all()


def test_not_a_number_is_a_value_and_not_a_null(frame: pd.DataFrame) -> None:
    table = parquet.read_table(pa.BufferReader(to_bytes(frame, {})))
    assert table.column("adversarial_margin").null_count == 0


def test_frame_is_not_changed(frame: pd.DataFrame) -> None:
    before = frame.copy()
    to_bytes(frame, {})
    pd.testing.assert_frame_equal(frame, before)
