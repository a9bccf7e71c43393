"""The per-image table of one cell: its columns, its bytes, and what it may not contradict."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from robench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

_METADATA_KEY: Final = b"robench"

SCHEMA: Final = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("group_id", pa.string(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("clean_prediction", pa.int32(), nullable=False),
        pa.field("adversarial_prediction", pa.int32(), nullable=False),
        pa.field("clean_correct", pa.bool_(), nullable=False),
        pa.field("success", pa.bool_(), nullable=False),
        pa.field("linf", pa.float32(), nullable=False),
        pa.field("l2", pa.float32(), nullable=False),
        pa.field("l0", pa.int32(), nullable=False),
        pa.field("forwards", pa.int32(), nullable=False),
        pa.field("backwards", pa.int32(), nullable=False),
        pa.field("first_success", pa.int32(), nullable=True),
        pa.field("clean_margin", pa.float32(), nullable=False),
        pa.field("adversarial_margin", pa.float32(), nullable=False),
    ]
)
COLUMNS: Final[tuple[str, ...]] = tuple(SCHEMA.names)

#: What only some cells have, after the columns of `SCHEMA` and in this order: whether the image,
#: made on a surrogate, fooled that one; how many of the draws of a stochastic victim were wrong.
EXTRA: Final = pa.schema(
    [
        pa.field("surrogate_success", pa.bool_(), nullable=False),
        pa.field("draws_wrong", pa.int32(), nullable=False),
    ]
)

_COUNTS: Final = ("l0", "forwards", "backwards", "first_success")
_DISTANCES: Final = ("linf", "l2")
_FLOATS: Final = ("linf", "l2", "clean_margin", "adversarial_margin")
_NULLABLE: Final = ("first_success",)


def validate(frame: pd.DataFrame) -> None:
    """Raise ValueError, naming the rule and the first image, where `frame` contradicts itself.

    `frame` has the columns of `SCHEMA`, a row per image. NaN is a value of the float columns
    (nothing was measured) and allowed there, but not as the distance of a success.
    """
    _check_columns(frame)
    values = {name: frame[name].to_numpy() for name in frame.columns}
    for name, column in values.items():
        if name not in (*_FLOATS, *_NULLABLE) and column.dtype.kind not in "iub":
            _refuse(frame, frame[name].isna().to_numpy(), f"no {name}")
    _refuse(frame, frame["image_id"].duplicated().to_numpy(), "image_id stands twice")
    for name in (*_COUNTS, *_DISTANCES):
        below = frame[name].fillna(0).to_numpy() < 0 if name in _NULLABLE else values[name] < 0
        _refuse(frame, below, f"negative {name}")

    right_before = values["clean_prediction"] == values["label"]
    correct, success = values["clean_correct"].astype(bool), values["success"].astype(bool)
    _refuse(frame, correct != right_before, "clean_correct contradicts clean_prediction and label")
    _refuse(frame, success & ~correct, "success on an image that is wrong before the attack")
    _refuse(
        frame,
        success & (values["adversarial_prediction"] == values["label"]),
        "success although adversarial_prediction is the label",
    )
    for name in _DISTANCES:
        missing = frame[name].isna().to_numpy()
        _refuse(frame, success & missing, f"success without a distance in {name}")


def to_bytes(frame: pd.DataFrame, metadata: Mapping[str, Any]) -> bytes:
    """`frame` as a Parquet file (zstd); `metadata`, as JSON, travels in the file's schema.

    The index is not kept. Equal frames and metadata give equal bytes under one pyarrow version.
    Raises ValueError where `validate` does, for a value that does not fit its column and for NaN
    or infinity in `metadata`; TypeError for a column of another kind and for metadata that JSON
    cannot hold.
    """
    import pyarrow.parquet as parquet

    validate(frame)
    # NaN stays a float: pandas' habit of reading it as null would lose the difference.
    schema = _schema_of(frame.columns)
    columns = [
        pa.array(
            frame[field.name].to_numpy(dtype="float32", na_value=float("nan"))
            if field.name in _FLOATS
            else frame[field.name],
            type=field.type,
            from_pandas=field.name not in _FLOATS,
        )
        for field in schema
    ]
    text = json.dumps(dict(metadata), sort_keys=True, separators=(",", ":"), allow_nan=False)
    table = pa.table(columns, schema=schema.with_metadata({_METADATA_KEY: text.encode()}))
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def from_bytes(data: bytes) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table and the metadata that `to_bytes` wrote.

    `first_success` comes back as pandas' nullable Int32, every other column with the numpy type
    of `SCHEMA`. Raises UserError for anything that is no outcome table.
    """
    import pandas as pd

    table, metadata = _read(data)
    steps = table.select(list(_NULLABLE)).to_pandas(
        types_mapper={pa.int32(): pd.Int32Dtype()}.get, use_threads=False
    )
    frame = table.drop_columns(list(_NULLABLE)).to_pandas(use_threads=False)
    for column in _NULLABLE:
        frame.insert(COLUMNS.index(column), column, steps[column])
    return frame, metadata


def columns_from_bytes(data: bytes) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """As `from_bytes`, but the columns without gaps alone, as numpy arrays, and without pandas."""
    table, metadata = _read(data)
    kept = [name for name in table.column_names if name not in _NULLABLE]
    return {name: _array(table.column(name).combine_chunks()) for name in kept}, metadata


def _array(column: pa.Array) -> npt.NDArray[Any]:
    """A column without gaps as numpy; pyarrow's own conversion would load pandas."""
    if pa.types.is_string(column.type):
        return np.array(column.to_pylist(), dtype=object)
    if pa.types.is_boolean(column.type):
        return np.from_dlpack(column.cast(pa.uint8())).astype(np.bool_)
    return np.from_dlpack(column)


def _read(data: bytes) -> tuple[pa.Table, dict[str, Any]]:
    import pyarrow.parquet as parquet

    try:
        # One small file, many times over: threads cost more than they save.
        table = parquet.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise UserError("cannot be read as Parquet", expected="a table of outcomes") from error
    _check_schema(table)
    return table.replace_schema_metadata(None), _metadata(table)


def _schema_of(columns: Iterable[str]) -> pa.Schema:
    """The schema of a table with these columns."""
    return pa.schema([*SCHEMA, *(field for field in EXTRA if field.name in columns)])


def _check_columns(frame: pd.DataFrame) -> None:
    if list(frame.columns) == _schema_of(frame.columns).names:
        return
    missing = [name for name in COLUMNS if name not in frame.columns]
    known = (*COLUMNS, *EXTRA.names)
    extra = [str(name) for name in frame.columns if name not in known]
    if missing or extra:
        raise ValueError(f"outcome columns: missing {missing}, unknown {extra}")
    raise ValueError(f"outcome columns in another order: {list(frame.columns)}")


def _refuse(frame: pd.DataFrame, wrong: npt.NDArray[np.bool_], rule: str) -> None:
    if wrong.any():
        first = frame["image_id"].iloc[int(wrong.argmax())]
        raise ValueError(f"{rule}: {int(wrong.sum())} of {len(frame)} images, first {first!r}")


def _check_schema(table: pa.Table) -> None:
    schema = _schema_of(table.column_names)
    for position, expected in enumerate(schema):
        if position >= len(table.schema):
            raise UserError(f"no column {expected.name}", expected="a table of outcomes")
        got = table.schema.field(position)
        if (got.name, got.type) != (expected.name, expected.type):
            raise UserError(
                f"column {position} is not one of an outcome table",
                got=f"{got.name}: {got.type}",
                expected=f"{expected.name}: {expected.type}",
            )
        if not expected.nullable and table.column(position).null_count:
            raise UserError(f"column {expected.name} has empty values", expected="none")
    if len(table.schema) > len(schema):
        raise UserError(
            "more columns than an outcome table has",
            got=table.schema.names[len(schema) :],
            expected=f"{len(schema)} columns",
        )


def _metadata(table: pa.Table) -> dict[str, Any]:
    text = (table.schema.metadata or {}).get(_METADATA_KEY)
    if text is None:
        raise UserError("no robench metadata in the file's schema", expected="a table of outcomes")
    try:
        metadata = json.loads(text)
    except ValueError as error:
        raise UserError("the robench metadata is not JSON", got=text[:60]) from error
    if not isinstance(metadata, dict):
        raise UserError("the robench metadata is no mapping", got=metadata, expected="an object")
    return metadata
