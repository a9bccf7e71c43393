"""Attacks that learn: from images that nothing is judged on, anew for every climb.

What was learned is not stored. It is a function of the victim, the data set, the attack's settings,
its epsilon and its seed, all of which are in the key of the outcomes that it leads to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from robench.attacks.base import Attack
from robench.data import Dataset, Split
from robench.data.allocation import hash_order
from robench.errors import UserError
from robench.matrix import Item
from robench.plan import Cell
from robench.runner.bench import Bench, pixels
from robench.runner.memory import is_out_of_memory


def lessons(dataset: Dataset, count: int, *, attack: Item, label: str) -> Split:
    """The first `count` training images in the order of a hash of their ids, for `attack`.

    Validation images where there are none for training. Raises UserError without both, calling the
    data set by its `label`: test images are never learned from.
    """
    split = dataset.validation if dataset.train is None else dataset.train
    if split is None:
        raise UserError(
            f"attack '{attack.label}' learns from images that it is not judged on: data set "
            f"'{label}' has none", where=attack.where, got=", ".join(dataset.splits),
            expected="a train or validation split",
        )
    return split.select(hash_order(split.image_ids, salt="lessons")[:count])


def learn(
    attack: Attack, bench: Bench, cells: Sequence[Cell], *, shrink: Callable[[int], int | None]
) -> float:
    """Fit an attack at the epsilons of `cells` of one ladder; gives the wall time in seconds.

    Where memory runs out, the network's tiles are halved.
    """
    started = time.perf_counter()
    device, seed = bench.device, cells[0].seed
    split = lessons(bench.dataset, attack.images, attack=cells[0].attack,
                    label=cells[0].target.training.dataset.label)
    images = pixels(split, slice(None), device)
    labels = torch.from_numpy(split.labels).to(device)
    while True:
        try:
            with bench.drawing(seed, "learn", cells[0].key):
                attack.fit(bench.victim, images, labels, seed=seed,
                           epsilons=[cell.epsilon.value for cell in cells])
        except (MemoryError, RuntimeError) as error:
            tile = bench.victim.tile(device, len(images))
            if not (bench.victim.rowwise and is_out_of_memory(error)) or shrink(tile) is None:
                raise
        else:
            return time.perf_counter() - started
