"""Adversarial weight perturbation: a loss descended at the worst weights nearby."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.func import functional_call

from robench.errors import UserError, nearest
from robench.training.checks import check_positive, check_whole

_TINY = 1e-20


@dataclass(frozen=True, kw_only=True)
class WeightPerturbation:
    """How far the weights are moved before each update, in units of each layer's own norm.

    Wu, Xia, Wang 2020 (arXiv 2004.05884), equations 8 and 10 with one step (K₂ = 1): a layer
    with weights w moves by `gamma` · ‖w‖ · ∇/‖∇‖, ∇ being the gradient of the whole loss in train
    mode. Layers are weight tensors of two dimensions or more; biases and the vectors of
    normalisation layers stay, as in the authors' code. None are moved in the first `warm_up`
    epochs. Raises UserError naming the parameter that is not usable.
    """

    gamma: float
    warm_up: int = 0

    def __post_init__(self) -> None:
        check_positive("awp: gamma", self.gamma, high=1.0)
        check_whole("awp: warm_up", self.warm_up, low=0)

    @classmethod
    def of(cls, setting: Mapping[str, object] | None) -> WeightPerturbation | None:
        """From a recipe's setting `awp`, such as {"gamma": 0.01}; None for none."""
        if setting is None:
            return None
        names = [each.name for each in fields(cls)]
        for name in setting if isinstance(setting, Mapping) else ():
            if name not in names:
                raise UserError(f"parameter 'awp' has no setting '{name}'",
                                expected=f"one of {', '.join(names)}",
                                nearest=nearest(str(name), names))
        if not isinstance(setting, Mapping) or "gamma" not in setting:
            raise UserError("parameter 'awp' is not usable", got=setting,
                            expected="a mapping such as {gamma: 0.01}, or null")
        return cls(**setting)  # type: ignore[arg-type]

    def moved(self, network: nn.Module, loss: Callable[[nn.Module], Tensor]) -> nn.Module:
        """`network` at the weights where `loss(network)` is worse.

        What is returned shares everything with `network`: a backward pass through it gives the
        network's own weights the gradient at the moved ones, so that nothing has to be moved
        back. The network's weights, buffers and gradients are as before.
        """
        weights = {name: weight for name, weight in network.named_parameters()
                   if weight.requires_grad and weight.dim() > 1}
        buffers = [(buffer, buffer.detach().clone()) for buffer in network.buffers()]
        found = torch.autograd.grad(loss(network), [*weights.values()], allow_unused=True)
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
            shifts = {
                name: gradient * (self.gamma * weight.norm() / (gradient.norm() + _TINY))
                for (name, weight), gradient in zip(weights.items(), found, strict=True)
                if gradient is not None
            }
        return _Moved(network, shifts)


class _Moved(nn.Module):
    """A network whose weights are shifted while it computes."""

    def __init__(self, network: nn.Module, shifts: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._parts = (network, shifts)  # a tuple, so that it is no part of this module

    def forward(self, images: Tensor) -> Tensor:
        network, shifts = self._parts
        weights = {name: network.get_parameter(name) + shift for name, shift in shifts.items()}
        logits: Tensor = functional_call(network, weights, (images,))
        return logits
