"""Random numbers of a training: functions of (seed, epoch), so that it can be taken up again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derived_seed(seed: int, *purpose: int | str) -> int:
    """An integer in [0, 2⁶³) that depends on `seed` and on what it is drawn for."""
    name = "\0".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1


def shuffled(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which `epoch` visits `count` images, int64."""
    return np.random.default_rng(derived_seed(seed, "order", epoch)).permutation(count)


def generator(device: torch.device, seed: int, *purpose: int | str) -> torch.Generator:
    """A generator of its own on `device`, away from torch's global one."""
    return torch.Generator(device).manual_seed(derived_seed(seed, *purpose))


@contextmanager
def reproducible(device: torch.device, seed: int, *purpose: int | str) -> Iterator[None]:
    """Torch's global generators (CPU and `device`) seeded inside, as they were outside.

    Inside, cuDNN also keeps to deterministic algorithms.
    """
    on_cpu = device.type == "cpu"
    number = derived_seed(seed, *purpose)
    deterministic = torch.backends.cudnn.deterministic
    with torch.random.fork_rng(
        devices=[] if on_cpu else [device], device_type="cuda" if on_cpu else device.type
    ):
        # torch.manual_seed would also seed devices that are not restored afterwards.
        torch.default_generator.manual_seed(number)
        if not on_cpu:
            with torch.accelerator.device_index(device.index):
                torch.get_device_module(device).manual_seed(number)
        torch.backends.cudnn.deterministic = True
        try:
            yield
        finally:
            torch.backends.cudnn.deterministic = deterministic
