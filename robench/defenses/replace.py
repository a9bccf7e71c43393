"""Layers of a network exchanged for others, in a copy of it."""

from __future__ import annotations

import copy
from collections.abc import Callable

from torch import nn

from robench.errors import UserError
from robench.normalisation import Normalize

Make = Callable[[nn.Module], nn.Module]


def with_layers_replaced(
    network: nn.Module, kind: type[nn.Module] | tuple[type[nn.Module], ...], make: Make, *,
    what: str,
) -> nn.Module:
    """A copy of `network` in which `make(layer)` stands for each layer of a `kind`.

    A layer that stands at several places is replaced by one at all of them. `what` names the
    layers in the UserError that is raised where there is none; functions that are called in a
    `forward`, such as torch.relu, are no layers.
    """
    copied = copy.deepcopy(network)
    made: dict[nn.Module, nn.Module] = {}
    for layer in copied.modules():
        if isinstance(layer, kind):
            made[layer] = make(layer).train(layer.training)
    if not made:
        raise UserError(f"nothing to replace: the network has no {what} layer",
                        got=_described(network), expected=f"a network with {what} layers")
    if copied in made:
        return made[copied]
    for parent in list(copied.modules()):
        for name, child in list(parent._modules.items()):
            if child in made:
                parent._modules[name] = made[child]
    return copied


def _described(network: nn.Module) -> str:
    normalised = isinstance(network, nn.Sequential) and isinstance(network[0], Normalize)
    return type(network[-1] if normalised else network).__name__  # type: ignore[index]
