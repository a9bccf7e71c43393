"""DeepFool: to the nearest boundary, as if the network were linear, again and again."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from robench.attacks.balls import Norm
from robench.attacks.base import Attack
from robench.attacks.boundaries import (
    Boundary,
    dual_norm,
    nearest_boundary,
    ranked_others,
    within_reach,
)
from robench.attacks.draws import Draws
from robench.attacks.query import Query
from robench.attacks.settings import check_norm, check_number, check_steps

# A step is at least so long: one that ends on the boundary itself would be followed by none.
_SHORTEST = 1e-4


class DeepFool(Attack):
    """The shortest step to the nearest boundary of the linearised network, until it is crossed.

    Moosavi-Dezfooli et al. 2016 (arXiv 1511.04599), algorithm 2, and section 3.3 for L∞. The
    steps add up to r; the network is asked at x + (1 + `overshoot`)·r, cut with the box, and an
    image is done as soon as it is broken there. The boundaries looked at are those to the
    `candidates` − 1 classes, other than the label, of the highest logits at the clean image; of
    these, at every step, those whose logit's gap to the label's is up to `reach` times the
    smallest one. Others can be the nearest only if their slope is more than `reach` times that of
    the class with the smallest gap: on trained networks it was seen to be up to 2.5 times. Without
    a `reach` (None), and after a step at which no slope was found, all are looked at.
    """

    name = "deepfool"
    version = 3
    budget = "minimum"

    def __init__(
        self,
        *,
        norm: Norm = "l2",
        steps: int = 50,
        overshoot: float = 0.02,
        candidates: int = 10,
        reach: float | None = 10.0,
    ) -> None:
        self.norm = check_norm(norm)
        self.steps = check_steps(steps)
        self.overshoot = check_number(overshoot, "overshoot")
        self.candidates = check_steps(candidates, "candidates")
        if candidates < 2:
            raise ValueError(
                f"candidates: got {candidates}, expected at least 2: the label and another class"
            )
        self.reach = None if reach is None else check_number(reach, "reach", low=1.0)

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        final = images.clone()
        victim = victim.until_broken()
        logits = victim.clean_logits()
        others = ranked_others(logits, labels)[:, : self.candidates - 1]
        walk = _Walk(
            rows=torch.arange(len(images), device=images.device), images=images, others=others,
            total=torch.zeros_like(images), current=images, lost=torch.zeros_like(labels).bool(),
        )
        for step in range(self.steps):
            if step and others.shape[1] > 1:  # a forward is less than the backwards it saves
                logits = victim.logits(walk.current)
                kept = victim.kept()
                if kept is not None:
                    final[walk.rows] = walk.current
                    victim, walk, logits = victim.select(kept), walk.select(kept), logits[kept]
            if len(walk.rows) == 0:
                return final
            near = within_reach(logits, victim.labels, walk.others, self.reach or torch.inf)
            boundary = nearest_boundary(
                victim, walk.current, walk.others, self.norm, wanted=near | walk.lost[:, None]
            )
            walk.lost = ~boundary.slope.flatten(1).any(dim=1)
            kept = victim.kept()
            if kept is not None:
                final[walk.rows] = walk.current
                victim, walk = victim.select(kept), walk.select(kept)
                boundary = boundary.select(kept)
            standing = victim.standing()[:, None, None, None]
            walk.total = walk.total + standing * self._step(boundary)
            walk.current = (walk.images + (1 + self.overshoot) * walk.total).clamp(0.0, 1.0)
        final[walk.rows] = walk.current
        return final

    def _step(self, boundary: Boundary) -> Tensor:
        length = boundary.distance.clamp_min(_SHORTEST)[:, None, None, None]
        if self.norm == "linf":
            return length * boundary.slope.sign()
        size = dual_norm(boundary.slope, "l2").clamp_min(1e-12)[:, None, None, None]
        return length * (boundary.slope / size)


@dataclass
class _Walk:
    """N images on their way; `rows` are their places in the batch, `total` the sum of steps,
    `lost` those for which the last step found no slope."""

    rows: Tensor
    images: Tensor
    others: Tensor
    total: Tensor
    current: Tensor
    lost: Tensor

    def select(self, rows: Tensor) -> _Walk:
        return _Walk(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})

