"""What a network is made of: parameters, floating-point operations, layers."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from robench.freezing import frozen


@dataclass(frozen=True)
class Layer:
    """A module that ran: its path, its class, the shape it gives for one image, its parameters
    and operations, those of its parts included. Several runs add up. `depth` counts from 1."""

    name: str
    depth: int
    kind: str
    output: tuple[int, ...]
    parameters: int
    flops: int


@dataclass(frozen=True)
class Summary:
    """A network on one image. `flops` counts a multiplication and an addition as two, as
    `torch.utils.flop_counter` does: matrix products and convolutions, nothing else."""

    parameters: int
    trainable: int
    flops: int
    layers: tuple[Layer, ...]


def summarise(
    network: nn.Module, *, in_channels: int, image_size: tuple[int, int], depth: int = 1
) -> Summary:
    """The summary of `network` for one image in eval mode, with its modules down to `depth`.

    Nothing is computed where the network allows it: shapes are followed on torch's meta device.
    """
    try:
        return _followed(copy.deepcopy(network).to("meta"), in_channels, image_size, depth)
    except (RuntimeError, NotImplementedError):  # it looks at values: then it has to be run
        return _followed(network, in_channels, image_size, depth)


def _followed(
    network: nn.Module, in_channels: int, image_size: tuple[int, int], depth: int
) -> Summary:
    device = next(iter([*network.parameters(), *network.buffers()]), torch.zeros(0)).device
    modules = dict(network.named_modules())
    shown = {name: module for name, module in modules.items()
             if name and _depth(name, modules) <= depth}
    outputs: dict[str, tuple[int, ...]] = {}

    def note(name: str, given_back: object) -> None:
        outputs.pop(name, None)  # the order is that of the last run
        outputs[name] = tuple(given_back.shape[1:]) if isinstance(given_back, Tensor) else ()

    hooks = [
        module.register_forward_hook(lambda _module, _given, back, name=name: note(name, back))
        for name, module in shown.items()
    ]
    counter = FlopCounterMode(display=False)
    try:
        with frozen(network), torch.no_grad(), counter:
            network(torch.zeros(1, in_channels, *image_size, device=device))
    finally:
        for hook in hooks:
            hook.remove()
    counts = counter.get_flop_counts()
    root = type(network).__name__
    ordered = sorted(outputs, key=lambda name: _place(name, list(outputs)))
    return Summary(
        parameters=_count(network),
        trainable=sum(weight.numel() for weight in network.parameters() if weight.requires_grad),
        flops=counter.get_total_flops(),
        layers=tuple(
            Layer(name, _depth(name, modules), type(shown[name]).__name__, outputs[name],
                  _count(shown[name]), sum(counts.get(f"{root}.{name}", {}).values()))
            for name in ordered
        ),
    )


def _depth(name: str, modules: dict[str, nn.Module]) -> int:
    """How deep a module stands; a list of modules, which never runs itself, is no level."""
    parts = name.split(".")
    above = (modules[".".join(parts[:count])] for count in range(1, len(parts)))
    return 1 + sum(not isinstance(module, (nn.ModuleList, nn.ModuleDict)) for module in above)


def _place(name: str, order: list[str]) -> tuple[int, ...]:
    """Where a module stands: after those it is part of, in the order in which they ran."""
    parts = name.split(".")
    paths = (".".join(parts[: count + 1]) for count in range(len(parts)))
    return tuple(order.index(path) for path in paths if path in order)


def _count(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())
