"""Linear layers of odd width, whose rows get the same bits wherever they stand in a batch.

A CPU's matrix product reads the rows of its left side four numbers at a time; rows whose length is
no multiple of that begin at other places of such a group, and are added up in another order: the
same image gets other last bits in another place of the batch.
"""

from __future__ import annotations

from typing import Self, TypeGuard

from torch import Tensor, nn
from torch.nn import functional

_TOGETHER = 4


def has_odd_rows(network: nn.Module) -> bool:
    """Whether an `AlignedLinear` can take the place of one of its layers."""
    return any(_fits(layer) for layer in network.modules())


def with_aligned_rows(network: nn.Module) -> nn.Module:
    """`network`, its linear layers of odd width exchanged for an `AlignedLinear` each."""
    for name, layer in list(network.named_modules()):
        if name and _fits(layer):
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, AlignedLinear.of(layer))
    return network


class AlignedLinear(nn.Linear):
    """A linear layer with frozen weights, its input filled up with zeros to a multiple of four."""

    _filler: int

    @classmethod
    def of(cls, linear: nn.Linear) -> Self:
        """The same layer; its weights are copied, and filled up as well."""
        made = cls.__new__(cls)
        made.__dict__ = {**linear.__dict__, "_parameters": {**linear._parameters},
                         "_filler": -linear.in_features % _TOGETHER}
        made.weight = nn.Parameter(
            functional.pad(linear.weight.detach(), (0, made._filler)), requires_grad=False
        )
        return made

    def forward(self, input: Tensor) -> Tensor:
        return functional.linear(functional.pad(input, (0, self._filler)), self.weight, self.bias)


def _fits(linear: nn.Module) -> TypeGuard[nn.Linear]:
    return (
        type(linear) is nn.Linear
        and linear.in_features % _TOGETHER != 0
        and linear.weight.device.type == "cpu"
        and not linear.weight.requires_grad
    )
