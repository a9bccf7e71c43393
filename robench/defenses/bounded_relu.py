"""ReLUs with an upper bound."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robench.defenses.checks import check_number
from robench.defenses.replace import with_layers_replaced


def bounded_relu(network: nn.Module, *, bound: float = 1.0) -> nn.Module:
    """A copy of `network` whose ReLU layers do not go above `bound`.

    Zantedeschi, Nicolae, Rawat 2017 (arXiv 1707.06728), section 3.1. Raises UserError for a
    `bound` that is not above 0, and for a network without nn.ReLU.
    """
    limit = check_number("bound", bound, above=0.0)
    return with_layers_replaced(network, nn.ReLU, lambda _: BoundedReLU(limit), what="ReLU")


class BoundedReLU(nn.Module):
    """min(max(0, x), `bound`) of activations of any shape."""

    def __init__(self, bound: float) -> None:
        super().__init__()
        self.bound = bound

    def extra_repr(self) -> str:
        return f"bound={self.bound:g}"

    def forward(self, activations: Tensor) -> Tensor:
        return torch.clamp(activations, 0.0, self.bound)
