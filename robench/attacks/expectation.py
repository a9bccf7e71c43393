"""The loss surface that an attack climbs: of one pass, or the mean over several random ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robench.attacks.losses import broken
from robench.attacks.query import Query
from robench.device import reading_waits
from robench.victim import Loss


@dataclass(frozen=True)
class Surface:
    """`loss` and its gradient at one candidate per image, averaged over `draws` passes.

    Athalye et al. 2018 (arXiv 1802.00420), section 4.2, expectation over transformation. With
    one draw, each pass is watched. With more, a network that draws random numbers would break
    by chance in one of so many; a candidate is then shown to the view's watch, in one further
    pass, only where more than half of its draws are wrong.
    """

    loss: Loss
    draws: int = 1

    def __call__(self, victim: Query, candidate: Tensor, aims: Tensor) -> tuple[Tensor, Tensor]:
        """(losses of length N, gradients N×C×H×W); `aims` are what the loss takes, of length N."""
        if self.draws == 1:
            logits, gradient = victim.logits_and_gradient(candidate, self.loss, aims=aims)
            return self.loss(logits, aims), gradient
        losses, gradient = candidate.new_zeros(len(candidate)), torch.zeros_like(candidate)
        wrong = torch.zeros_like(losses)
        # A view does not watch a batch of another length than its own: two copies at a time.
        copies = [2] * (self.draws // 2)
        copies[-1] += self.draws % 2
        for count in copies:
            values, logits, slope = self._pass(victim, candidate, aims, count)
            losses += values.reshape(count, -1).sum(dim=0)
            gradient += slope.reshape(count, *candidate.shape).sum(dim=0)
            fooled = broken(logits, victim.labels.repeat(count))
            wrong += fooled.reshape(count, -1).sum(dim=0)
        victim.note_gradient(gradient)
        victim.note_tried()
        _show(victim, candidate, 2 * wrong > self.draws)
        return losses / self.draws, gradient / self.draws

    def _pass(
        self, victim: Query, candidate: Tensor, aims: Tensor, count: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        copies = candidate.detach().repeat(count, 1, 1, 1).requires_grad_(True)
        with torch.enable_grad():
            logits = victim(copies)
            values = self.loss(logits, aims.repeat(count, *[1] * (aims.dim() - 1)))
        if not values.requires_grad:
            return values, logits, torch.zeros_like(candidate).repeat(count, 1, 1, 1)
        (slope,) = torch.autograd.grad(values.sum(), copies, allow_unused=True)
        slope = torch.zeros_like(copies) if slope is None else slope
        return values.detach(), logits.detach(), slope


def _show(victim: Query, candidate: Tensor, chosen: Tensor) -> None:
    if not reading_waits(candidate.device):
        rows = chosen.nonzero()[:, 0]
        if len(rows) == 0:
            return
        if victim.rowwise:
            victim.select(rows).logits(candidate[rows])
            return
    victim.only(chosen).logits(candidate)
