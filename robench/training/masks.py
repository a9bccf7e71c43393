"""Pruned weights that stay zero while a network is trained."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn
from torch.nn.utils import parametrize


class _Masked(nn.Module):
    """A weight where `mask` is true, zero elsewhere; there its gradient is zero too."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        # Made from the weights each time, so it is no part of a training's state.
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight


def hold_zeros(layers: Iterable[nn.Module]) -> None:
    """Hold the weights of `layers` that are zero at zero, whatever trains them.

    The forward pass itself masks them (a parametrization of torch), so that this does not depend on
    a recipe's optimizer, weight decay or weight perturbation, and goes along with copies.
    """
    for layer in layers:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        mask = weight.detach() != 0
        if not mask.all():
            parametrize.register_parametrization(layer, "weight", _Masked(mask))


def release_zeros(network: nn.Module) -> None:
    """End what `hold_zeros` began: all weights keep their values and have their names again."""
    for module in network.modules():
        if not parametrize.is_parametrized(module, "weight"):
            continue
        held = module.parametrizations["weight"]  # type: ignore[index]
        if any(isinstance(part, _Masked) for part in held):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
