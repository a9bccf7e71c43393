"""A network's graph rewritten into one that computes the same with less work."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_TRACING = threading.Lock()
"""While a network is traced, every call of a module in the process goes to its tracer."""


def rewritten(network: nn.Module) -> nn.Module | None:
    """A copy with each BatchNorm folded into the convolution whose only reader it is, and each
    ReLU that only a max-pooling reads behind it, where there is less to cut off: of either order
    the largest value comes out, or 0.

    None where there is neither, or where the network's forward cannot be traced.
    """
    changed = copied(network)
    if changed is None:
        return None
    try:
        with _TRACING:
            graph = _Tracer().trace(changed)
    except Exception:  # forwards that branch on their input have no one graph
        return None
    rewritings = _fold_batchnorms(changed, graph) + _pool_first(changed, graph)
    return fx.GraphModule(changed, graph) if rewritings else None


def copied(network: nn.Module) -> nn.Module | None:
    """A deep copy, or None of what cannot be copied."""
    try:
        return copy.deepcopy(network)
    except Exception:  # a third party's module need not be copied
        return None


def _fold_batchnorms(network: nn.Module, graph: fx.Graph) -> int:
    """How many BatchNorms were folded."""
    folded = 0
    modules = dict(network.named_modules())
    used = [node.target for node in graph.nodes if node.op == "call_module"]
    for node in list(graph.nodes):
        pair = _pair(node, modules)
        if pair is None or any(used.count(part.target) > 1 for part in (node, node.args[0])):
            continue
        convolution, batchnorm = pair
        parent, _, name = str(node.args[0].target).rpartition(".")
        setattr(network.get_submodule(parent), name, fuse_conv_bn_eval(convolution, batchnorm))
        node.replace_all_uses_with(node.args[0])
        graph.erase_node(node)
        folded += 1
    return folded


def _pool_first(network: nn.Module, graph: fx.Graph) -> int:
    """How many ReLUs were put behind the max-pooling that reads them."""
    moved = 0
    modules = dict(network.named_modules())

    def kind(node: object) -> type | None:
        if not isinstance(node, fx.Node) or node.op != "call_module" or len(node.args) != 1:
            return None
        return type(modules.get(str(node.target)))

    for node in list(graph.nodes):
        if kind(node) is not nn.MaxPool2d or modules[str(node.target)].return_indices:
            continue
        relu = node.args[0]
        if kind(relu) is not nn.ReLU or len(relu.users) > 1:
            continue
        assert isinstance(relu, fx.Node)
        node.replace_input_with(relu, relu.args[0])
        with graph.inserting_after(node):
            behind = graph.call_module(str(relu.target))
        node.replace_all_uses_with(behind)
        behind.args = (node,)
        graph.erase_node(relu)
        moved += 1
    return moved


def _pair(node: fx.Node, modules: dict[str, nn.Module]) -> tuple[nn.Conv2d, nn.BatchNorm2d] | None:
    """The convolution and the BatchNorm that is its only reader, where `node` is such a one."""
    if node.op != "call_module" or len(node.args) != 1 or not isinstance(node.args[0], fx.Node):
        return None
    before, batchnorm = node.args[0], modules.get(str(node.target))
    if before.op != "call_module" or len(before.users) != 1:
        return None
    convolution = modules.get(str(before.target))
    if type(convolution) is not nn.Conv2d or type(batchnorm) is not nn.BatchNorm2d:
        return None
    return None if batchnorm.running_mean is None else (convolution, batchnorm)


class _Tracer(fx.Tracer):
    """Looks into what ends in layers that are rewritten; the rest is called as it is, and so is
    what other threads call meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        inside = any(isinstance(layer, (nn.modules.batchnorm._BatchNorm, nn.MaxPool2d))
                     for layer in module.modules())
        return super().is_leaf_module(module, qualified_name) or not inside
