"""Random draws that do not depend on batching (F11 of the evaluation rules).

Every draw is keyed by (seed, image id, attack, restart), so any batch size, order or device
gives an image the same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

_Key = tuple[int, str, str]
"""Seed, image id, attack."""


class _Stream:
    """The random numbers of one image; opened when the first is asked for, for most attacks ask
    for none and keys take time."""

    def __init__(self, key: _Key, restart: int) -> None:
        self.key = key
        self._restart = restart

    @cached_property
    def generator(self) -> np.random.Generator:
        name = "\0".join((*map(str, self.key), str(self._restart)))
        digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
        return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


class Draws:
    """The random numbers of a batch: one stream per image, each with its own place in it."""

    def __init__(self, streams: Sequence[_Stream], device: torch.device) -> None:
        self._streams = tuple(streams)
        self._device = device

    @classmethod
    def keyed(
        cls,
        image_ids: Sequence[str],
        *,
        seed: int,
        attack: str,
        restart: int = 0,
        device: torch.device,
    ) -> Draws:
        """The streams of `image_ids` for one attack, seed and restart."""
        return cls([_Stream((seed, name, attack), restart) for name in image_ids], device)

    def __len__(self) -> int:
        return len(self._streams)

    def select(self, rows: Tensor) -> Draws:
        """The streams of some rows; they go on where they are, and are shared with this one."""
        return Draws([self._streams[row] for row in rows.tolist()], self._device)

    def restarted(self, number: int) -> Draws:
        """New streams for the same images, from their start: those of restart `number`, from 0.

        An attack is given those of restart 0.
        """
        return Draws([_Stream(stream.key, number) for stream in self._streams], self._device)

    def seeds(self) -> list[int]:
        """One integer in [0, 2³¹) per image, to seed a foreign generator."""
        return [int(stream.generator.integers(2**31)) for stream in self._streams]

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Uniform numbers in [low, high), float32 N×shape."""
        unit = self._fill(shape, lambda stream: stream.random(shape, dtype=np.float32))
        return unit * (high - low) + low

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, float32 N×shape."""
        return self._fill(shape, lambda stream: stream.standard_normal(shape, dtype=np.float32))

    def _fill(
        self, shape: tuple[int, ...], draw: Callable[[np.random.Generator], np.ndarray]
    ) -> Tensor:
        # Pinned, so that the host goes on drawing while a GPU computes.
        values = torch.empty(len(self._streams), *shape, pin_memory=self._device.type == "cuda")
        array = values.numpy()
        for row, stream in enumerate(self._streams):
            array[row] = draw(stream.generator)
        return values.to(self._device, non_blocking=True)
