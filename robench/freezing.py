"""A network that is looked at and left as it was."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch
from torch import nn

T = TypeVar("T")


class _Held(Generic[T]):
    """What some things were before the first of those who hold them came, until the last has gone:
    several threads may look at one network, or at networks that share parts."""

    def __init__(self, read: Callable[[T], bool], write: Callable[[T, bool], object]) -> None:
        self._read, self._write = read, write
        self._lock = threading.Lock()
        self._known: dict[int, tuple[int, bool]] = {}

    @contextmanager
    def held(self, things: Sequence[T], value: bool) -> Iterator[None]:
        with self._lock:
            for thing in things:
                holders, before = self._known.get(id(thing), (0, self._read(thing)))
                self._known[id(thing)] = (holders + 1, before)
                self._write(thing, value)
        try:
            yield
        finally:
            with self._lock:
                for thing in things:
                    holders, before = self._known.pop(id(thing))
                    if holders > 1:
                        self._known[id(thing)] = (holders - 1, before)
                    else:
                        self._write(thing, before)


_MODES: _Held[nn.Module] = _Held(
    lambda module: module.training, lambda module, value: setattr(module, "training", value)
)
_FLAGS: _Held[nn.Parameter] = _Held(
    lambda weight: weight.requires_grad, lambda weight, value: weight.requires_grad_(value)
)


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Eval mode and frozen weights inside; modes, flags and buffers as before afterwards, once the
    last thread that looks at the network has left."""
    modules, weights = list(network.modules()), list(network.parameters())
    buffers = [(buffer, buffer.detach().clone()) for buffer in network.buffers()]
    with _MODES.held(modules, False), _FLAGS.held(weights, False):
        try:
            network.eval()  # which a network may have a form of its own of
            yield
        finally:
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)
