"""What the passes of a network in eval mode depend on, to see later whether it has changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

State = list[tuple[int, str, object]]


@dataclass(frozen=True)
class Snapshot:
    """A network's weights and buffers, copied, and the plain values that its modules hold."""

    tensors: tuple[Tensor, ...]
    state: State

    @classmethod
    def of(cls, network: nn.Module) -> Self:
        return cls(tuple(each.detach().clone() for each in _tensors(network)), state_of(network))

    def still_holds(self, network: nn.Module) -> bool:
        """Whether the network is as it was, to the bit; weights are compared by their values, as
        not every way to write them is counted."""
        now = _tensors(network)
        return (
            state_of(network) == self.state
            and len(now) == len(self.tensors)
            and all(_same(one, other) for one, other in zip(now, self.tensors, strict=True))
        )


def state_of(network: nn.Module) -> State:
    """The plain numbers, words and lengths of lists that the network's modules hold, but for the
    mode they are in."""
    held: State = []
    for module in network.modules():
        for name, value in vars(module).items():
            if name == "training":
                continue
            if isinstance(value, (list, dict)):
                held.append((id(module), name, len(value)))
            elif value is None or isinstance(value, (bool, int, float, str)):
                held.append((id(module), name, value))
    return held


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


def _same(one: Tensor, other: Tensor) -> bool:
    return (
        one.device == other.device and one.dtype == other.dtype and torch.equal(one, other)
    )
