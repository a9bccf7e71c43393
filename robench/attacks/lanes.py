"""Runs of a search in a ball, each on the images that the ones before it left unbroken.

Where few images are left, a pass of a network costs little more for several runs than for one, so
that the next runs are computed side by side; what they find, and what they cost, is as if one had
followed the other.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from robench.attacks.query import Query

Run = Callable[[Query, Tensor, range], Tensor]
"""A view, the R rows of the batch that are left, and the numbers of J runs → the last iterates of
J·R images, those of the first run before those of the second; not yet shown to the view, which is
of so many images."""


def runs_in_lanes(victim: Query, images: Tensor, runs: int, run: Run) -> Tensor:
    """The last iterates N×C×H×W of each image's last run, which are not yet shown to the victim."""
    final = images.clone()
    rows = torch.arange(len(images), device=images.device)
    made = 0
    while made < runs:
        if made:
            victim.logits(final[rows])
            kept = victim.kept(waiting=True)
            if kept is not None:
                rows, victim = rows[kept], victim.select(kept)
            if len(rows) == 0:
                break
        numbers = range(made, min(made + victim.lanes(), runs))
        if len(numbers) == 1:
            final[rows] = run(victim, rows, numbers)
        else:
            view = victim.abreast(len(numbers))
            found = run(view, rows, numbers)
            before_last = torch.arange(len(found), device=rows.device) < len(found) - len(rows)
            view.only(before_last).logits(found)
            victim.note_runs(view)
            final[rows] = found[-len(rows):]
        made += len(numbers)
    return final
