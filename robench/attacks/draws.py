"""Random draws that do not depend on batching (F11 of the evaluation rules).

Every draw is keyed by (seed, image id, attack, restart), so any batch size, order or device
gives an image the same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

_Key = tuple[int, str, str]
"""Seed, image id, attack."""
Listed = Callable[[Tensor], list[int]]
"""Rows of a batch, int64 on its device → on the host."""


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

    def __init__(
        self, streams: Sequence[_Stream], device: torch.device, listed: Listed
    ) -> None:
        self._streams = tuple(streams)
        self._device = device
        self._listed = listed

    @classmethod
    def keyed(
        cls,
        image_ids: Sequence[str],
        *,
        seed: int,
        attack: str,
        restart: int = 0,
        device: torch.device,
        listed: Listed = Tensor.tolist,
    ) -> Draws:
        """The streams of `image_ids` for one attack, seed and restart; `listed` gives rows that are
        on the device to the host."""
        streams = [_Stream((seed, name, attack), restart) for name in image_ids]
        return cls(streams, device, listed)

    def __len__(self) -> int:
        return len(self._streams)

    def select(self, rows: Tensor) -> Draws:
        """The streams of some rows; they go on where they are, and are shared with this one."""
        return self._of([self._streams[row] for row in self._listed(rows)])

    def split(self, sizes: Iterable[int]) -> Iterator[Draws]:
        """The streams of so many rows each, one after the other, as `select` gives them."""
        first = 0
        for size in sizes:
            yield self._of(self._streams[first : first + size])
            first += size

    @classmethod
    def joined(cls, parts: Sequence[Draws]) -> Draws:
        """The streams of some draws, one after the other; one that is there again goes on from
        one time to the next."""
        return parts[0]._of([stream for part in parts for stream in part._streams])

    def restarted(self, number: int) -> Draws:
        """New streams for the same images, from their start: those of restart `number`, from 0.

        An attack is given those of restart 0.
        """
        return self._of([_Stream(stream.key, number) for stream in self._streams])

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

    def _of(self, streams: Sequence[_Stream]) -> Draws:
        return Draws(streams, self._device, self._listed)

    def _fill(
        self, shape: tuple[int, ...], draw: Callable[[np.random.Generator], np.ndarray]
    ) -> Tensor:
        # Pinned, so that the host goes on drawing while a GPU computes.
        values = torch.empty(len(self._streams), *shape, pin_memory=self._device.type == "cuda")
        array = values.numpy()
        for row, stream in enumerate(self._streams):
            array[row] = draw(stream.generator)
        return values.to(self._device, non_blocking=True)
