"""Batches that shrink when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

_Made = TypeVar("_Made")
Rows = NDArray[np.int64]


def in_batches(
    rows: Rows,
    size: int,
    work: Callable[[Rows], _Made],
    *,
    shrink: Callable[[int], int | None],
) -> Iterator[tuple[Rows, _Made]]:
    """(`rows` of a batch, what `work` makes of them), batch after batch.

    Where memory runs out, `shrink` gives the next size to try, or None to give up.
    """
    start = 0
    while start < len(rows):
        batch = rows[start : start + size]
        try:
            made = work(batch)
        except (MemoryError, RuntimeError) as error:
            smaller = shrink(min(size, len(batch))) if is_out_of_memory(error) else None
            if smaller is None:
                raise
            size = smaller
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            continue
        yield batch, made
        start += len(batch)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on any device."""
    text = str(error).lower()
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError)
        and ("out of memory" in text or "can't allocate memory" in text
             or "not enough memory" in text)
    )
