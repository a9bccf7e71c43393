"""Unstructured pruning by magnitude: the smallest weights become zero."""

from __future__ import annotations

from torch import nn
from torch.nn.utils import prune

from robench.errors import UserError

VERSION = 1


def prune_l1(network: nn.Module, *, rate: float, scope: str = "global") -> float:
    """Set the share `rate` of the weights of convolutions and linear layers to zero, in place.

    The smallest magnitudes go first: of all layers together ("global", one-shot, as MedDef
    section 3.8) or of each layer ("layerwise"). Returns the sparsity measured afterwards.
    """
    if not 0 <= rate < 1:
        raise UserError("pruning rate", got=rate, expected="a number in [0, 1)")
    layers = prunable(network)
    if rate > 0:
        if not layers:
            raise UserError("nothing to prune: the network has no convolution or linear layer")
        targets = [(layer, "weight") for layer in layers]
        if scope == "global":
            prune.global_unstructured(targets, pruning_method=prune.L1Unstructured, amount=rate)
        elif scope == "layerwise":
            for layer, name in targets:
                prune.L1Unstructured.apply(layer, name, amount=rate)  # type: ignore[no-untyped-call]
        else:
            raise UserError("pruning scope", got=scope, expected="global or layerwise")
        for layer, name in targets:
            prune.remove(layer, name)  # type: ignore[no-untyped-call]
    return sparsity(network)


def sparsity(network: nn.Module) -> float:
    """The share of zeros among the weights of convolutions and linear layers."""
    weights = [layer.weight for layer in prunable(network)]
    total = sum(weight.numel() for weight in weights)
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    return zeros / total if total else 0.0


def prunable(network: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    """The layers whose weights pruning looks at."""
    return [layer for layer in network.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
