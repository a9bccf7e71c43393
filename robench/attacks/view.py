"""Which images of a batch an attack sees, which of them go on, and what is spent on each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

import torch
from torch import Tensor

from robench.attacks.balls import Norm
from robench.attacks.glance import Lookout
from robench.attacks.log import Clean, Log, OutOfBudgetError
from robench.attacks.runs_log import RunsLog
from robench.device import reading_waits
from robench.victim import Victim

_ROOM = 16
"""How many rows make a pass of a small network on a CPU take little longer than one does."""
_LANES = 32
"""How many rows may be computed for several runs of a search, of which an image that is broken
needs no more than the first; a tile of a CPU."""


class View:
    """Some rows of a batch, their images and labels, and the log of what is spent on them.

    `epsilon` and `norm` say which iterates are valid; with `smallest`, any iterate in the box
    is, and the nearest that breaks the image is the best; with `once`, the search for it ends
    with the first. With `to_the_end`, a broken image goes on, and of its iterates the one that the
    victim gets most wrong is the best.
    """

    def __init__(
        self, victim: Victim, images: Tensor, labels: Tensor, *,
        epsilon: float, norm: Norm, smallest: bool, log: Log, rows: Tensor,
        shared: Clean, shared_rows: Tensor, to_the_end: bool = False, alone: bool = False,
        once: bool = False,
    ) -> None:
        self.images = images
        self.labels = labels
        self.epsilon = epsilon
        self.norm: Norm = norm
        self._smallest = smallest
        self._to_the_end = to_the_end
        self._alone = alone
        self._once = once
        self._victim = victim
        self._log = log
        self._rows = rows
        self._shared = shared
        self._shared_rows = shared_rows
        # Which images are there decides what a network draws for each, if it draws.
        self._lookout = Lookout(punctual=victim.is_random)
        self._resting: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def rowwise(self) -> bool:
        """Whether an image's logits are its own, whatever else is in the batch."""
        return self._victim.rowwise

    def kept(self, *, waiting: bool = False) -> Tensor | None:
        """The rows to go on with, where leaving the broken ones behind saves work, else None.

        Where reading a value makes the host wait, what it goes by is what the device had a few
        steps ago: an image that has been broken since goes on for a while. `waiting`, for what is
        done once in many steps: to know it exactly there too.
        """
        if not self._victim.rowwise or self._to_the_end:
            return None
        standing = self._looked(self.standing, waiting=waiting)
        if standing is None:
            return None
        left = len(standing)
        saves = self._victim.saves(self.images, left) or self._room(left) > self._room(len(self))
        return standing if saves else None

    def going_on(
        self, going: Tensor, *, stalled: Tensor | None = None, waiting: bool = False
    ) -> Tensor | None:
        """The rows to go on with of those that are still `going`, boolean of length N, where
        others can be left behind, else None; for an attack that says itself when it is done.

        What is computed further of those that are not, or that are `stalled` for a while, is for
        the others' sake: it is neither counted nor watched. `waiting` as for `kept`.
        """
        self._resting = ~going if stalled is None else ~going | stalled
        rows = self._looked(lambda: going, waiting=waiting)
        if rows is None or len(rows) == len(going) or (len(rows) and not self._victim.rowwise):
            return None
        return rows

    def _looked(self, holds: Callable[[], Tensor], *, waiting: bool) -> Tensor | None:
        rows = self._lookout.rows(holds, self.images.device, waiting=waiting)
        self._log.told = self._lookout.told
        return rows

    @contextmanager
    def running(self, number: int) -> Iterator[None]:
        """Takes note that an ensemble runs its member of that number inside, if it spends
        anything."""
        before = int(self._log.forwards.sum())
        try:
            yield
        finally:
            if int(self._log.forwards.sum()) > before:
                self._log.ran.append(number)

    def note_unstarted(self, rows: Tensor) -> None:
        """Say which images, boolean of length N, the attack found nothing to begin with for."""
        self._log.unstarted[self._rows] |= rows & self.standing()

    def note_tried(self) -> None:
        """Say that each image had others asked about, in a pass that is not watched."""
        self._log.tried[self._rows] |= ~self._log.ended[self._rows]

    def open_rows(self) -> Tensor:
        """The rows whose best iterate a further one may replace."""
        standing = self.standing()
        return (torch.ones_like(standing) if self._goes_on else standing).nonzero()[:, 0]

    def room(self) -> int:
        """How many queries of each image may be computed in a pass that costs little more than
        one; 1 for a network that was not seen to be deterministic, where passes are paid for, and
        where the host would have to wait for what these show, on which the next ones hang.
        """
        return self._room(len(self)) if self._is_sure else 1

    def lanes(self) -> int:
        """How many runs of a search in a ball may be made `abreast`, at little more than the cost
        of one; 1 where `room` is for want of certainty, or where broken images go on."""
        sure = self._is_sure and not self._goes_on
        return max(1, _LANES // max(len(self), 1)) if sure else 1

    def abreast(self, runs: int) -> Self:
        """A view of `runs` times these images, none of which rests: for runs of a search that are
        computed together, all images of the first run before those of the second, and so on; of
        a view that has so many `lanes`.

        What the log then says of it, once it is told by `note_runs`, is what runs that follow one
        another would have come to.
        """
        return type(self)(
            self._victim, self.images.repeat(runs, 1, 1, 1), self.labels.repeat(runs),
            epsilon=self.epsilon, norm=self.norm, smallest=False,
            log=RunsLog.of(self._log, self._rows, runs=runs),
            rows=torch.arange(runs * len(self), device=self.images.device),
            shared=Clean(rows=0), shared_rows=self._shared_rows.repeat(runs),
        )

    def note_runs(self, view: Self) -> None:
        """Take note of what runs `abreast` have found and spent."""
        assert isinstance(view._log, RunsLog)
        view._log.tell(self._log, self._rows)

    @property
    def _is_sure(self) -> bool:
        """Whether an image's logits are known not to hang on what is asked besides, and passes need
        not be paid for."""
        victim = self._victim
        alike = victim.is_arranged and victim.precision == "float32" and not victim.is_random
        return alike and self._log.propagations is None

    def _room(self, rows: int) -> int:
        return 1 if reading_waits(self.images.device) else max(1, _ROOM // max(rows, 1))

    def until_broken(self) -> Self:
        """The same view for a search that is done with an image as soon as it is broken: what is
        computed of it afterwards, for the others' sake, is not counted."""
        return self.select(torch.arange(len(self), device=self.images.device), once=True)

    def apart(self) -> Self:
        """The same view, of which rows may rest without doing so in this one (`going_on`)."""
        return self.select(torch.arange(len(self), device=self.images.device))

    def only(self, rows: Tensor) -> Self:
        """The same view for passes that are made for some rows, boolean of length N: the others are
        computed for their sake, and neither counted nor watched."""
        part = self.apart()
        part._resting = ~self._awake(rows)
        return part

    def select(self, rows: Tensor, *, alone: bool = False, once: bool = False) -> Self:
        """The same view on some of its rows. One that stands `alone` raises OutOfBudgetError as
        soon as none of its own rows can pay, for a caller that goes on with others."""
        part = type(self)(
            self._victim, self.images[rows], self.labels[rows], epsilon=self.epsilon,
            norm=self.norm, smallest=self._smallest, log=self._log, rows=self._rows[rows],
            shared=self._shared, shared_rows=self._shared_rows[rows],
            to_the_end=self._to_the_end, alone=alone or self._alone, once=once or self._once,
        )
        part._resting = None if self._resting is None else self._resting[rows]
        return part

    def _awake(self, rows: Tensor) -> Tensor:
        """Those of `rows`, boolean of length N, that are not computed for the others' sake: because
        they rest, or could not pay."""
        if self._resting is not None:
            rows = rows & ~self._resting
        if self._log.propagations is not None:
            rows = rows & ~self._log.ended[self._rows]
        return rows

    def _paid(self, passes: int, cost: int | Tensor) -> Tensor | None:
        """Which rows can pay for passes of so many images, each of `cost` propagations (of length N
        where it is not the same for all rows); None where there is no limit.

        A row that cannot ends there: it is computed on for the others' sake, but neither counted
        nor watched. Raises OutOfBudgetError once no image, of this view or (unless it stands
        alone) another, is left; where reading a value makes the host wait, a few passes later.
        """
        log = self._log
        if log.propagations is None:
            return None
        log.end(
            self._rows, self._awake(log.found.new_ones(len(self))), self._times(passes) * cost
        )
        paid = ~log.ended
        left = paid if self._goes_on else paid & ~log.found
        asked = left[self._rows] if self._alone else left
        able = log.purses.rows(lambda: asked, asked.device, waiting=self._alone)
        if able is not None and len(able) == 0:
            raise OutOfBudgetError
        return paid[self._rows]

    def _count_forward(self, cost: Tensor) -> None:
        self._log.forwards[self._rows] += cost

    def _count_backward(self, cost: Tensor) -> None:
        self._log.backwards[self._rows] += cost

    def _cost(self, passes: int) -> Tensor:
        return self._working().to(torch.int32) * self._times(passes)

    def _times(self, passes: int) -> int:
        """How many passes of each image a batch of so many is."""
        return -(-passes // max(len(self), 1)) * self._victim.draws

    def _working(self) -> Tensor:
        """The rows that what is spent counts for: what is spent on an image that is broken
        already depends on its batch, so it is left out."""
        return self._awake(
            self._log.found.new_ones(len(self)) if self._goes_on else self.standing()
        )

    @property
    def _goes_on(self) -> bool:
        """Whether a broken image is attacked further."""
        return (self._smallest and not self._once) or self._to_the_end

    def standing(self) -> Tensor:
        """The rows that are not broken yet, by an earlier run `abreast` neither; boolean of
        length N."""
        return self._log.standing(self._rows)
