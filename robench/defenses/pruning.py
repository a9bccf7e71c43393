"""Unstructured pruning by magnitude: the smallest weights become zero."""

from __future__ import annotations

from torch import nn
from torch.nn.utils import prune

from robench.errors import UserError

_KINDS: dict[str, tuple[type[nn.Module], ...]] = {
    "conv-linear": (nn.Conv2d, nn.Linear), "conv": (nn.Conv2d,),
}


def prune_l1(
    network: nn.Module, *, rate: float, scope: str = "global", layers: str = "conv-linear"
) -> float:
    """Set the share `rate` of the weights of some layers to zero, in place.

    The smallest magnitudes go first: of all layers together ("global", one-shot, as MedDef
    section 3.8) or of each layer ("layerwise", as Chen et al. 2021). `layers` are convolutions and
    linear layers ("conv-linear", MedDef) or convolutions alone ("conv", Chen et al.). Returns the
    sparsity measured afterwards.
    """
    if not 0 <= rate < 1:
        raise UserError("pruning rate", got=rate, expected="a number in [0, 1)")
    if layers not in _KINDS:
        raise UserError("pruning layers", got=layers, expected=" or ".join(_KINDS))
    if rate > 0:
        targets = [(layer, "weight") for layer in prunable(network)
                   if isinstance(layer, _KINDS[layers])]
        if not targets:
            raise UserError("nothing to prune: the network has no such layer", got=layers)
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
