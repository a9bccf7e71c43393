"""From a split to batches on a device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from robench.errors import UserError

if TYPE_CHECKING:
    from robench.data import Dataset, Split


def training_split(dataset: Dataset) -> tuple[Split, np.ndarray]:
    """The training split and its images per class (int64 of length K).

    Raises UserError without training images and for a class without any.
    """
    split = dataset.train
    if split is None or len(split) == 0:
        raise UserError(f"data set '{dataset.name}' has no training images")
    counts = np.bincount(split.labels, minlength=dataset.num_classes)
    if not counts.all():
        empty = int(np.flatnonzero(counts == 0)[0])
        raise UserError(
            f"class {empty} has no images",
            where=f"data set '{dataset.name}', training split",
            expected=f"at least one image of each of the {dataset.num_classes} classes",
        )
    return split, counts


def validation_split(dataset: Dataset) -> Split | None:
    """The validation split, None where there is none or it is empty."""
    split = dataset.validation
    return None if split is None or len(split) == 0 else split


def index_batches(order: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """`order` cut into batches; a last one of a single image joins the one before it.

    BatchNorm cannot train on one image: it has no variance.
    """
    starts = list(range(0, len(order), batch_size))
    if len(starts) > 1 and len(order) - starts[-1] == 1:
        starts.pop()
    return [
        order[start:stop] for start, stop in zip(starts, [*starts[1:], len(order)], strict=True)
    ]


def load_batches(
    split: Split, batches: list[np.ndarray], device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Images (float32 N×C×H×W in [0,1]) and labels (int64 N) of each batch, on `device`."""
    for rows in batches:
        labels = torch.from_numpy(split.labels[rows].astype(np.int64, copy=False))
        yield to_pixels(split.images[rows], device), labels.to(device)


def to_pixels(images: np.ndarray, device: torch.device) -> Tensor:
    """uint8 N×H×W×C → float32 N×C×H×W in [0,1] on `device`."""
    values = torch.from_numpy(np.require(images, requirements=["C", "W"])).to(device)
    planar = values.permute(0, 3, 1, 2)
    return planar.to(torch.float32, memory_format=torch.contiguous_format).div_(255.0)
