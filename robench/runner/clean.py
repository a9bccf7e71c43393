"""The clean pass over a victim: made once, shared by all attacks on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import torch
from torch import Tensor

from robench.attacks.losses import margin
from robench.data import Dataset, Split
from robench.errors import UserError

_SCHEMA = pa.schema([
    pa.field("image_id", pa.string(), nullable=False),
    pa.field("group_id", pa.string(), nullable=False),
    pa.field("label", pa.int32(), nullable=False),
    pa.field("prediction", pa.int32(), nullable=False),
    pa.field("margin", pa.float32(), nullable=False),
])


def frame(split: Split, rows: Any, logits: Tensor) -> pd.DataFrame:
    """The clean predictions of some rows of a split."""
    labels = torch.from_numpy(split.labels[rows])
    found = logits.cpu()
    return pd.DataFrame({
        "image_id": split.image_ids[rows], "group_id": split.group_ids[rows],
        "label": labels.numpy().astype(np.int32),
        "prediction": found.argmax(dim=1).numpy().astype(np.int32),
        "margin": margin(found, labels).numpy(),
    })


def victim_flags(
    clean: pd.DataFrame, dataset: Dataset, *, rowwise: bool, stochastic: bool = False
) -> list[str]:
    """What a reader must know of a victim before believing any number on it."""
    flags = []
    if not rowwise:
        flags.append("batch-dependent")
    if stochastic:
        flags.append("stochastic")
    if dataset.duplicates.get("train-test", 0):
        flags.append("shared-images")
    if clean["prediction"].nunique() == 1:
        flags.append("constant")
    shares = clean["label"].value_counts(normalize=True)
    if float((clean["prediction"] == clean["label"]).mean()) <= float(shares.max()):
        flags.append("below-majority")
    return flags


def to_bytes(clean: pd.DataFrame, metadata: Mapping[str, Any]) -> bytes:
    """The clean pass as a Parquet file."""
    text = json.dumps(dict(metadata), sort_keys=True).encode()
    table = pa.Table.from_pandas(clean, schema=_SCHEMA, preserve_index=False)
    sink = pa.BufferOutputStream()
    parquet.write_table(
        table.replace_schema_metadata({b"robench": text}), sink, compression="zstd"
    )
    return bytes(sink.getvalue())


def from_bytes(content: bytes) -> tuple[pd.DataFrame, dict[str, Any]]:
    """What `to_bytes` wrote."""
    table = parquet.read_table(pa.BufferReader(content))
    metadata = (table.schema.metadata or {}).get(b"robench")
    if metadata is None or not set(_SCHEMA.names) <= set(table.column_names):
        raise UserError("not a table of clean predictions", got=table.column_names)
    return table.replace_schema_metadata(None).to_pandas(), json.loads(metadata)

