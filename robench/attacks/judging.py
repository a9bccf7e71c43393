"""The last look at what an attack returned, and what it must be for that."""

from __future__ import annotations

import torch
from torch import Tensor

from robench.attacks.balls import PROJECTED, Norm, project
from robench.attacks.log import Log
from robench.attacks.query import Query


def fitted(
    candidate: object, images: Tensor, epsilon: float | None, norm: Norm, *, name: str
) -> Tensor:
    """What the `perturb` of the class `name` returned for `images`, moved into the box and, with an
    `epsilon`, into the ball of a norm that has a projection. ValueError for what cannot be."""
    if not isinstance(candidate, Tensor) or candidate.shape != images.shape:
        got = list(candidate.shape) if isinstance(candidate, Tensor) else type(candidate).__name__
        raise ValueError(f"{name}.perturb returned {got}, expected {list(images.shape)}")
    candidate = candidate.detach().float()
    if candidate.numel() and not bool(torch.isfinite(candidate.abs().amax())):
        raise ValueError(f"{name}.perturb returned NaN or infinite pixels")
    if epsilon is None or norm not in PROJECTED:
        return candidate.clamp(0.0, 1.0)
    return project(images, candidate, epsilon, norm)


def judge(
    query: Query, log: Log, candidate: Tensor, *, norm: Norm, minimum: bool, projected: Tensor
) -> None:
    """Show the victim what was returned, and again any kept iterate that has to move.

    `projected`, boolean of length N, says which candidates are in their balls to the last bit.
    """
    if minimum:
        query.logits(candidate)
        return
    _show(query, query.open_rows(), candidate)
    if norm in PROJECTED:
        other = torch.ne(log.best, candidate).flatten(1).any(dim=1)
        iterates = (other | ~projected).nonzero()[:, 0]
        inside = project(query.images[iterates], log.best[iterates], query.epsilon, norm)
        exact = log.best.index_copy(0, iterates, inside)
        moved = torch.ne(exact, log.best).flatten(1).any(dim=1).nonzero()[:, 0]
        first = log.first_success[moved]
        log.reopen(moved)
        _show(query, moved, exact)
        again = log.found[moved] & (first > 0)
        log.first_success[moved] = torch.where(again, first, log.first_success[moved])
        _show(query, moved[~log.found[moved] & (first > 0)], candidate)
    _show(query, torch.isinf(log.margin).nonzero()[:, 0], query.images)


def _show(query: Query, rows: Tensor, candidate: Tensor) -> None:
    if len(rows) == 0:
        return
    if query.rowwise:
        query.select(rows).logits(candidate[rows])
    else:
        query.logits(candidate)
