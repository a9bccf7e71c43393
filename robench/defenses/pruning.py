"""Pruning by magnitude: the smallest weights, or output channels, become zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from robench.errors import UserError, nearest

Layer = nn.Conv2d | nn.Linear

METHODS = ("l1", "structured-l1", "structured-l2")
SCOPES = ("global", "layerwise")
_KINDS: dict[str, tuple[type[nn.Module], ...]] = {
    "conv-linear": (nn.Conv2d, nn.Linear), "conv": (nn.Conv2d,),
}
_NORMS = {"structured-l1": 1, "structured-l2": 2}


@dataclass(frozen=True)
class Size:
    """What pruning has left of a network.

    `sparsity`: the share of zeros among the weights of convolutions and linear layers.
    `parameters_left`: all parameters but these zeros.
    """

    sparsity: float
    parameters_left: int


def prune_network(
    network: nn.Module, rates: Sequence[float], *, method: str = "l1", scope: str = "global",
    layers: str = "conv-linear", pruned_before: bool = False,
) -> Size:
    """Prune `network` in place at each of `rates`, one after another; gives what is left.

    The first rate is a share of all weights, each further one a share of those still left: weights
    that are not zero. So is the first one too where the network is `pruned_before`. A rate of 0
    changes nothing.

    `method` "l1": the weights of the smallest magnitude become zero. "structured-l1" and
    "structured-l2": the output channels of convolutions with the smallest L1 or L2 norm do, with
    `rate` a share of the channels. This is masking: shapes stay, and so do biases and BatchNorm, by
    which a pruned channel is constant. One channel of each layer stays.

    `scope` "global": the smallest of all layers together; channels of layers of different size are
    compared by their mean magnitude (L1) or root mean square (L2). "layerwise": of each layer.
    `layers`: convolutions and linear layers ("conv-linear") or convolutions alone ("conv").

    Raises UserError for an unfit setting, and for a network without such layers.
    """
    for rate in rates:
        if not 0 <= rate < 1:
            raise UserError("pruning rate", got=rate, expected="a number in [0, 1)")
    _check("layers", layers, tuple(_KINDS))
    _check("scope", scope, SCOPES)
    _check("method", method, METHODS)
    for rate in filter(None, rates):
        chosen = targets(network, method=method, layers=layers)
        if pruned_before:
            for layer in chosen:
                _mask(layer, layer.weight != 0)
        if method == "l1":
            _prune_weights(chosen, rate, scope)
        else:
            _prune_channels(chosen, rate, scope, _NORMS[method])
        for layer in chosen:
            if prune.is_pruned(layer):
                prune.remove(layer, "weight")  # type: ignore[no-untyped-call]
        pruned_before = True
    return size(network)


def prune_l1(
    network: nn.Module, *, rate: float, scope: str = "global", layers: str = "conv-linear"
) -> float:
    """Set the share `rate` of the weights of some layers to zero, in place.

    The smallest magnitudes go first: of all layers together ("global", one-shot, as MedDef
    section 3.8) or of each layer ("layerwise", as Chen et al. 2021). `layers` are convolutions and
    linear layers ("conv-linear", MedDef) or convolutions alone ("conv", Chen et al.). Returns the
    sparsity measured afterwards.
    """
    return prune_network(network, [rate], scope=scope, layers=layers).sparsity


def targets(network: nn.Module, *, method: str, layers: str) -> list[Layer]:
    """The layers that a pruning changes. Raises UserError where the network has none of them."""
    kinds = _KINDS["conv"] if method in _NORMS else _KINDS[layers]
    found = [layer for layer in prunable(network) if isinstance(layer, kinds)]
    if found:
        return found
    if method in _NORMS:
        raise UserError("nothing to prune: the network has no convolutions, whose output channels "
                        "structured pruning takes", got=method, expected="method l1")
    raise UserError("nothing to prune: the network has no such layer", got=layers)


def size(network: nn.Module) -> Size:
    """What of a network is left."""
    weights = [layer.weight for layer in prunable(network)]
    total = sum(weight.numel() for weight in weights)
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Size(zeros / total if total else 0.0, parameters - zeros)


def sparsity(network: nn.Module) -> float:
    """The share of zeros among the weights of convolutions and linear layers."""
    return size(network).sparsity


def prunable(network: nn.Module) -> list[Layer]:
    """The layers whose weights pruning looks at."""
    return [layer for layer in network.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]


def _prune_weights(chosen: Sequence[Layer], rate: float, scope: str) -> None:
    if scope == "global":
        prune.global_unstructured([(layer, "weight") for layer in chosen],
                                  pruning_method=prune.L1Unstructured, amount=rate)
        return
    for layer in chosen:
        prune.L1Unstructured.apply(layer, "weight", amount=rate)  # type: ignore[no-untyped-call]


def _prune_channels(chosen: Sequence[Layer], rate: float, scope: str, norm: int) -> None:
    if scope == "layerwise":
        for layer in chosen:
            left = int(_channels_left(layer).sum())
            amount = min(round(rate * left), left - 1)
            if amount > 0:
                prune.ln_structured(  # type: ignore[no-untyped-call]
                    layer, "weight", amount=amount, n=norm, dim=0)
        return
    scores, kept, left = [], [], 0
    for layer in chosen:
        score = _channel_means(layer.weight.detach(), norm)
        there = _channels_left(layer)
        left += int(there.sum())
        candidates = there.clone()
        candidates[score.argmax()] = False
        scores.append(score.masked_fill(~candidates, torch.inf))
        kept.append(there)
    joined = torch.cat(scores)
    amount = min(round(rate * left), int(joined.isfinite().sum()))
    mask = torch.cat(kept)
    mask[joined.sort(stable=True).indices[:amount]] = False
    of_layers = torch.split(mask, [len(there) for there in kept])
    for layer, channels in zip(chosen, of_layers, strict=True):
        _mask(layer, channels.view(-1, 1, 1, 1).expand_as(layer.weight))


def _channels_left(layer: Layer) -> Tensor:
    return (layer.weight.detach() != 0).flatten(1).any(dim=1)


def _channel_means(weight: Tensor, norm: int) -> Tensor:
    magnitudes = weight.flatten(1).abs().double()
    return magnitudes.mean(dim=1) if norm == 1 else magnitudes.square().mean(dim=1).sqrt()


def _mask(layer: Layer, mask: Tensor) -> None:
    prune.custom_from_mask(layer, "weight", mask)  # type: ignore[no-untyped-call]


def _check(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise UserError(f"pruning {name}", got=value, expected=" or ".join(known),
                        nearest=nearest(value, known))
