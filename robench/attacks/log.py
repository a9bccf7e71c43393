"""What is known of the images of an attack while it goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor

from robench.attacks.doubts import Doubt
from robench.attacks.glance import Lookout, Told
from robench.victim import Loss


class OutOfBudgetError(Exception):
    """The propagations that an attack may spend are spent for all images."""


@dataclass
class Log:
    """What is known of each of N images; written by views, read by the attack's base class.

    `best` is the first iterate that broke the image, else the one of the smallest margin; for a
    search of the smallest perturbation, the nearest one that broke it. `propagations`: how many
    forwards and backwards may be spent on an image, None for any number; `ended` are those a pass
    of which would have cost more than was left; `tried`, noted where there is a limit, those of
    which another image than the clean one was asked about. `unstarted`: of which no image was found
    to begin with. `judging`: whether the attack has
    ended, and what it returned is looked at. `doubts`: iterates that are still to be asked about.
    `ran`: the numbers of the members that an ensemble has run. `purses`: whether any image can pay
    on. `told`: the rows that a view was told to go on with last.
    """

    best: Tensor
    margin: Tensor
    prediction: Tensor
    distance: Tensor
    found: Tensor
    forwards: Tensor
    backwards: Tensor
    first_success: Tensor
    gradient_seen: Tensor
    gradient_alive: Tensor
    ended: Tensor
    tried: Tensor
    unstarted: Tensor
    propagations: int | None = None
    judging: bool = False
    doubts: list[Doubt] = field(default_factory=list)
    ran: list[int] = field(default_factory=list)
    told: Told | None = None
    purses: Lookout = field(default_factory=lambda: Lookout(punctual=True))

    @classmethod
    def start(cls, images: Tensor, *, propagations: int | None = None) -> Self:
        rows, device = len(images), images.device

        def integers(value: int) -> Tensor:
            return torch.full((rows,), value, dtype=torch.int32, device=device)

        def no() -> Tensor:
            return torch.zeros(rows, dtype=torch.bool, device=device)

        return cls(
            best=images.clone(),
            margin=torch.full((rows,), float("inf"), device=device),
            prediction=torch.full((rows,), -1, dtype=torch.int64, device=device),
            distance=torch.full((rows,), float("inf"), device=device),
            found=no(), forwards=integers(0), backwards=integers(0), first_success=integers(-1),
            gradient_seen=no(), gradient_alive=no(), ended=no(), tried=no(), unstarted=no(),
            propagations=propagations,
        )

    def standing(self, rows: Tensor) -> Tensor:
        """Those of `rows` that are not broken yet, boolean of the same length."""
        return ~self.found[rows]

    def listed(self, rows: Tensor) -> list[int]:
        """The rows on the host, which does not wait for those that it knows."""
        told = self.told
        return told.listed if told is not None and told.rows is rows else rows.tolist()

    def end(self, rows: Tensor, asking: Tensor, cost: int | Tensor) -> None:
        """End those of `rows` that are `asking`, boolean of the same length, for a pass of so many
        propagations, of each or of all, that they cannot pay."""
        if self.propagations is not None:
            spent = self.forwards[rows] + self.backwards[rows]
            self.ended[rows] |= asking & (spent + cost > self.propagations)

    def reopen(self, rows: Tensor) -> None:
        """Forget what was found of some rows."""
        self.found[rows] = False
        self.first_success[rows] = -1
        self.margin[rows] = float("inf")
        self.distance[rows] = float("inf")


def put(column: Tensor, rows: Tensor, value: Tensor, *, where: Tensor) -> None:
    """Write to those `rows` of a column of a log `where` that holds, boolean of the same length;
    no value is read on the host, as to choose rows by what holds of them would."""
    mask = where.reshape(-1, *[1] * (column.dim() - 1))
    column[rows] = torch.where(mask, value.to(column.dtype), column[rows])


@dataclass
class Clean:
    """Logits and gradients at all `rows` clean images: what the epsilons of a ladder share.

    Of each loss there is one gradient; what it is aimed at is the attack's, for each image the
    same at every epsilon.
    """

    rows: int
    logits: Tensor | None = None
    by_loss: dict[Loss, tuple[Tensor, Tensor]] = field(default_factory=dict)
