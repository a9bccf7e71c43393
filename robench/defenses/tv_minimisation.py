"""Total variation minimisation: the smoothest image that is close to some of the pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from robench.defenses.backward import in_range
from robench.defenses.checks import check_number, check_whole

# The primal and the dual step; √8 bounds the norm of the difference operator in two dimensions.
_STEP = 1 / math.sqrt(8)
# Iterations between two states that are kept for the backward pass; the rest is computed again.
_KEPT_EVERY = 10

State = tuple[Tensor, Tensor, Tensor, Tensor]


def tv_minimisation(
    network: nn.Module, *, weight: float = 0.03, dropout: float = 0.5, steps: int = 50
) -> nn.Module:
    """`network` behind total variation minimisation: see `TVMinimisation`.

    Guo, Rana, Cissé, van der Maaten 2018 (arXiv 1711.00117), section 3.2: `dropout` and `weight`
    (λ) are those of their section 5. Raises UserError for settings that are none.
    """
    return nn.Sequential(TVMinimisation(weight=weight, dropout=dropout, steps=steps), network)


tv_minimisation.stochastic = True  # type: ignore[attr-defined]


class TVMinimisation(nn.Module):
    """Pixels N×C×H×W to the z that minimises ½ Σ m·(z − x)² + `weight` · TV(z), in [0,1].

    m is zero with probability `dropout` and one otherwise, drawn for each channel of each pixel
    from torch's global generator. TV is the sum of the lengths of the
    differences to the pixels below and to the right (Rudin, Osher, Fatemi 1992), of each channel
    by itself. Solved by `steps` iterations of Chambolle & Pock 2011, algorithm 1, through which
    the gradient goes.
    """

    def __init__(self, *, weight: float, dropout: float, steps: int) -> None:
        super().__init__()
        self.weight = check_number("weight", weight, above=0.0)
        self.dropout = check_number("dropout", dropout, low=0.0, below=1.0)
        self.steps = check_whole("steps", steps, low=1)

    def extra_repr(self) -> str:
        return f"weight={self.weight:g}, dropout={self.dropout:g}, steps={self.steps}"

    def forward(self, images: Tensor) -> Tensor:
        known = (torch.rand_like(images) >= self.dropout).to(images)
        nothing = torch.zeros_like(images)
        # Where a pixel is not known, the search begins at the mean of those that are.
        share = known.mean(dim=(2, 3), keepdim=True).clamp_min(1e-6)
        mean = (images * known).mean(dim=(2, 3), keepdim=True) / share
        first = torch.where(known > 0, images, mean)
        state: State = (first, first, nothing, nothing)
        done = 0
        while done < self.steps:
            count = min(_KEPT_EVERY, self.steps - done)
            if torch.is_grad_enabled() and images.requires_grad:
                state = checkpoint(self._iterate, images, known, count, *state,
                                   use_reentrant=False)
            else:
                state = self._iterate(images, known, count, *state)
            done += count
        return in_range(state[0])

    def _iterate(
        self, images: Tensor, known: Tensor, count: int, current: Tensor, ahead: Tensor,
        down: Tensor, right: Tensor,
    ) -> State:
        for _ in range(count):
            below, beside = differences(ahead)
            down, right = down + _STEP * below, right + _STEP * beside
            excess = ((down.square() + right.square()).clamp_min(1e-24).sqrt() / self.weight)
            down, right = down / excess.clamp_min(1.0), right / excess.clamp_min(1.0)
            moved = current + _STEP * divergence(down, right)
            following = (moved + _STEP * known * images) / (1.0 + _STEP * known)
            current, ahead = following, 2.0 * following - current
        return current, ahead, down, right


def differences(images: Tensor) -> tuple[Tensor, Tensor]:
    """To the pixel below and to the one on the right; zero in the last row and column."""
    below = functional.pad(images[:, :, 1:] - images[:, :, :-1], (0, 0, 0, 1))
    beside = functional.pad(images[..., 1:] - images[..., :-1], (0, 1, 0, 0))
    return below, beside


def divergence(down: Tensor, right: Tensor) -> Tensor:
    """Minus the adjoint of `differences`."""
    vertical = (functional.pad(down[:, :, :-1], (0, 0, 0, 1))
                - functional.pad(down[:, :, :-1], (0, 0, 1, 0)))
    horizontal = (functional.pad(right[..., :-1], (0, 1, 0, 0))
                  - functional.pad(right[..., :-1], (1, 0, 0, 0)))
    return vertical + horizontal
