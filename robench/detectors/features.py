"""What a network computes on the way to its logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robench.errors import UserError, unknown
from robench.freezing import frozen


def hidden(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """(logits N×K, input N×D of the linear layer that is called last).

    Raises UserError for a network that calls none.
    """
    shown: list[Tensor] = []
    hooks = [
        layer.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0]))
        for layer in network.modules() if isinstance(layer, nn.Linear)
    ]
    try:
        logits: Tensor = network(images)
    finally:
        for hook in hooks:
            hook.remove()
    if not shown:
        raise UserError("the network has no linear layer to take features from",
                        got=type(network).__name__)
    return logits, shown[-1].flatten(1)


def outputs(network: nn.Module, images: Tensor, layers: Sequence[str]) -> list[Tensor]:
    """The outputs N×… of the named modules, in the order of the names; of their last call."""
    modules = dict(network.named_modules())
    found: dict[str, Tensor] = {}
    hooks = [
        modules[name].register_forward_hook(
            lambda _, __, output, name=name: found.__setitem__(name, output)
        )
        for name in layers
    ]
    try:
        network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return [found[name] for name in layers]


def chosen_layers(
    network: nn.Module, layers: Sequence[str] | None, images: Tensor
) -> tuple[str, ...]:
    """`layers`, or by default every convolution and linear layer that a pass calls, in order.

    Raises UserError for a name that is no module's, for one that is not called or that gives no
    tensor, and where there is no layer.
    """
    modules = dict(network.named_modules())
    called: dict[str, object] = {}
    for name in layers or ():
        if name not in modules:
            raise unknown("layer", name, [known for known in modules if known])
    wanted = [name for name, module in modules.items()
              if (name in layers if layers else isinstance(module, (nn.Conv2d, nn.Linear)))]
    hooks = [
        modules[name].register_forward_hook(
            lambda _, __, output, name=name: called.__setitem__(name, output)
        )
        for name in wanted
    ]
    try:
        with frozen(network), torch.no_grad():
            network(images[:1])
    finally:
        for hook in hooks:
            hook.remove()
    for name in layers or ():
        if not isinstance(called.get(name), Tensor):
            raise UserError(f"layer '{name}' gives no tensor in a pass", got=str(modules[name]))
    if not called:
        raise UserError("the network has no convolution or linear layer to take features from",
                        got=type(network).__name__)
    return tuple(layers) if layers else tuple(called)


def squared_distances(features: Tensor, references: Tensor) -> Tensor:
    """The squared Euclidean distances N×R of N×D and R×D, in float64.

    By the product of both; unlike torch.cdist's, their gradient is finite at distance zero.
    """
    left, right = features.double(), references.double()
    squares = left.square().sum(dim=1)[:, None] + right.square().sum(dim=1) - 2.0 * left @ right.T
    return squares.clamp_min(0.0)
