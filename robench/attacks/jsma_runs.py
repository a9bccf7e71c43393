"""Where the runs of JSMA stand: a run is the search of one image for one target."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass
class Runs:
    """Where the run of each image stands; `rows` are its images in the batch.

    `turn` N says which of `targets` N×T it heads for, T when all are done; `changes` N×P how
    often each feature was changed since `images`, `nearest` N the fewest pixels that broke the
    image in any run. `pairs` N is how many changes of a pair a step makes, `planned` N×M×2 the
    pairs of the last step and `times` N×M how often it was meant to change them; `before` and
    `changes_before` are the iterate that it was made from, and `least` N how many pixels its first
    pair alone changes.
    """

    rows: Tensor
    images: Tensor
    targets: Tensor
    turn: Tensor
    current: Tensor
    changes: Tensor
    before: Tensor
    changes_before: Tensor
    least: Tensor
    pairs: Tensor
    planned: Tensor
    times: Tensor
    steps: Tensor
    nearest: Tensor
    widest: Tensor

    @classmethod
    def start(cls, images: Tensor, targets: Tensor, *, pairs: int) -> Runs:
        rows = torch.arange(len(images), device=images.device)
        none = torch.zeros_like(images.flatten(1), dtype=torch.int16)
        widest = torch.full_like(rows, pairs)
        times = rows.new_zeros(len(rows), pairs)
        return cls(
            rows=rows, images=images, targets=targets, turn=torch.zeros_like(rows),
            current=images.clone(), changes=none, before=images, changes_before=none,
            least=torch.zeros_like(rows), pairs=widest, steps=torch.zeros_like(rows), widest=widest,
            planned=torch.stack([times, times], dim=2), times=times,
            nearest=torch.full_like(rows, torch.iinfo(torch.int64).max),
        )

    @property
    def flat(self) -> Tensor:
        return self.current.flatten(1)

    def target(self) -> Tensor:
        turn = self.turn.clamp_max(self.targets.shape[1] - 1)
        return self.targets.gather(1, turn[:, None])[:, 0]

    def places(self, changes: Tensor) -> Tensor:
        """How many pixels have a feature that was changed: the L0 distance."""
        by_channel = changes.reshape(self.images.shape) > 0
        return by_channel.any(dim=1).flatten(1).sum(dim=1)

    def go_back(self, back: Tensor) -> None:
        """`back`: to the iterate before the last step, which is to be made with half the pairs."""
        self.current = torch.where(back[:, None, None, None], self.before, self.current)
        self.changes = torch.where(back[:, None], self.changes_before, self.changes)
        self.pairs = torch.where(back, self.pairs // 2, self.pairs)

    def plan(self, new: Tensor, pairs: Tensor, times: Tensor) -> None:
        """The pairs of the next step, where they are `new`."""
        self.planned = torch.where(new[:, None, None], pairs, self.planned)
        self.times = torch.where(new[:, None], times, self.times)

    def advance(
        self, on: Tensor, moved: Tensor, changes: Tensor, *, least: Tensor, end: Tensor
    ) -> None:
        """`on`: to `moved`; `end`: to the clean image and the next target. Each run is in one of
        them at the most; the others stay where they are."""
        here, changed = self.current, self.changes
        column, cube = on[:, None], on[:, None, None, None]
        self.current = torch.where(cube, moved.reshape(here.shape), here)
        self.changes = torch.where(column, changes, changed)
        self.before = torch.where(cube, here, self.before)
        self.changes_before = torch.where(column, changed, self.changes_before)
        self.least = torch.where(on, least, self.least)
        self.steps = torch.where(on, self.steps + 1, self.steps)
        self.turn = torch.where(end, self.turn + 1, self.turn)
        again = end & (self.turn < self.targets.shape[1])
        self.current = torch.where(again[:, None, None, None], self.images, self.current)
        self.changes = torch.where(again[:, None], torch.zeros_like(changes), self.changes)
        self.pairs = torch.where(again, self.widest, self.pairs)
        self.steps = torch.where(again, torch.zeros_like(self.steps), self.steps)

    def select(self, rows: Tensor) -> Runs:
        return Runs(**{item.name: getattr(self, item.name)[rows] for item in fields(Runs)})
