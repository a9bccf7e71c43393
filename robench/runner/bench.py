"""A victim made ready for attacks: on its device, with its test images and its clean pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from robench.batchmates import rows_depend_on_mates
from robench.data import Dataset, Split
from robench.data.allocation import hash_order
from robench.defenses.pruning import Size
from robench.plan import Target
from robench.precision import Precision
from robench.redrawn import Redrawn
from robench.runner import clean
from robench.runner.memory import Rows, in_batches
from robench.store import Store
from robench.training.seeding import reproducible
from robench.victim import Victim


@dataclass(frozen=True)
class Bench:
    """`split` holds the images of `dataset` to attack, `clean` a row for each; `size` was measured,
    and `flags` say what a reader must know of the victim. `drawing(seed, purpose, …)` is
    the context in which its passes run: for a stochastic victim its random numbers are functions
    of these."""

    victim: Victim
    dataset: Dataset
    split: Split
    clean: pd.DataFrame
    device: torch.device
    size: Size
    flags: tuple[str, ...]
    drawing: Callable[..., AbstractContextManager[None]]


def set_up(
    target: Target,
    network: nn.Module,
    dataset: Dataset,
    *,
    size: Size,
    device: torch.device,
    batch_size: int,
    store: Store,
    smaller_batch: Callable[[int], None],
    precision: Precision = "float32",
) -> Bench:
    """The bench of a target; its clean pass is found in the store or made and kept there.

    `precision` is that of the attacks' gradients.
    """
    split = sampled(dataset, target.samples)
    network = network.to(device)
    drawing = partial(reproducible, device) if target.stochastic else _undisturbed
    stored = store.read("clean", target.clean_key)
    if stored is not None:
        frame, about = clean.from_bytes(stored)
        victim = _victim(target, network, split, device, precision, rowwise=about["rowwise"])
        return Bench(victim, dataset, split, frame, device, size, tuple(about["flags"]), drawing)

    # Two passes of a stochastic network differ, whatever the batch.
    mixes = not target.stochastic and rows_depend_on_mates(
        network.eval(), pixels(split, slice(0, 8), device)
    )
    victim = _victim(target, network, split, device, precision, rowwise=not mixes)

    def clean_pass(rows: Rows) -> pd.DataFrame:
        with drawing(target.training.seed, "clean", target.key, split.image_ids[rows[0]]):
            images = pixels(split, rows, device)
            return clean.frame(split, rows, victim.verdict(images))

    frame = pd.concat(
        [part for _, part in in_batches(
            np.arange(len(split)), batch_size, clean_pass,
            shrink=shrinker(victim, device, smaller_batch),
        )],
        ignore_index=True,
    )
    flags = clean.victim_flags(
        frame, dataset, rowwise=victim.rowwise, stochastic=target.stochastic
    )
    about = {"sparsity": size.sparsity, "rowwise": victim.rowwise, "flags": flags}
    store.write("clean", target.clean_key, clean.to_bytes(frame, about))
    return Bench(victim, dataset, split, frame, device, size, tuple(flags), drawing)


def sampled(dataset: Dataset, samples: int) -> Split:
    """The first `samples` test images in the order of a hash of their ids, as they stand.

    A larger sample contains a smaller one, and the order of the files does not matter.
    """
    assert dataset.test is not None
    if samples >= len(dataset.test):
        return dataset.test
    order = hash_order(dataset.test.image_ids, salt="samples")
    return dataset.test.select(np.sort(order[:samples]))


def pixels(split: Split, rows: Any, device: torch.device) -> Tensor:
    """Images of a split as float32 n×C×H×W in [0,1]."""
    images = torch.from_numpy(np.ascontiguousarray(split.images[rows]))
    return images.to(device).permute(0, 3, 1, 2).contiguous().float() / 255.0


def shrinker(
    victim: Victim, device: torch.device, smaller_batch: Callable[[int], None]
) -> Callable[[int], int | None]:
    """What to do when a batch does not fit: halve the batch, then the tiles of the network."""

    def shrink(size: int) -> int | None:
        if size <= 1:
            return None
        smaller = size // 2
        if victim.rowwise and size <= victim.tile(device, size):
            smaller = min(smaller, victim.halve_tiles(device))
        smaller_batch(smaller)
        return smaller

    return shrink


@contextmanager
def _undisturbed(*_: object) -> Iterator[None]:
    yield


def _victim(
    target: Target, network: nn.Module, split: Split, device: torch.device, precision: Precision,
    *, rowwise: bool,
) -> Victim:
    if target.stochastic:
        return Redrawn(network, draws=target.draws).eval().requires_grad_(False)
    victim = Victim(network, rowwise=rowwise, precision=precision).eval().requires_grad_(False)
    victim.arrange(pixels(split, slice(0, 8), device))
    return victim
