"""Which of the iterates that a victim was shown is kept of each image."""

from __future__ import annotations

import torch
from torch import Tensor

from robench.attacks.balls import Norm, distances
from robench.attacks.log import Log
from robench.attacks.losses import margin
from robench.device import reading_waits

# The step between float32 numbers at 1. Attacks that compute in float32 leave their ball by as
# much; such an iterate counts, and is moved inside and judged again before it is kept.
_ROUNDING = 2.0**-23


def keep_better(
    log: Log, rows: Tensor, images: Tensor, candidates: Tensor, logits: Tensor, labels: Tensor,
    fooled: Tensor, *, epsilon: float, norm: Norm, smallest: bool, to_the_end: bool,
    paid: Tensor | None, forwards: Tensor | None = None,
) -> None:
    """Write to `rows` of the log those `candidates` N×C×H×W that are better than what it has.

    `logits` N×K are theirs, `fooled` N says where they break the image. Valid are those in the
    ball of `epsilon` and in the box, with `smallest` any in the box; the first that breaks the
    image is the best, before that the one of the smallest margin; with `smallest` the nearest that
    breaks it; with `to_the_end` the one of the smallest margin, broken or not. Rows that are not
    `paid` for are left alone. `forwards` N says how many each had cost where that is less than by
    now: a first success may be one that is told of late.
    """
    away = distances(images, candidates, norm)
    if paid is not None:
        log.tried[rows] |= paid & (away > 0)
    pixels = candidates.flatten(1)  # one by one they are found in a fifth of `aminmax`'s time
    in_box = (pixels.amin(dim=1) >= 0.0) & (pixels.amax(dim=1) <= 1.0)
    gap = margin(logits, labels)
    found = log.found[rows]
    if smallest:
        fooled = fooled & in_box
        better = fooled & (away < log.distance[rows])
    else:
        # In L1 the roundings of all pixels add up; being random, like the root of their number.
        roundings = {"linf": 1.0, "l2": 1.0, "l1": images[:1].numel() ** 0.5}
        inside = in_box & (away <= epsilon * (1 + 1e-6) + _ROUNDING * roundings.get(norm, 0.0))
        fooled = fooled & inside
        better = inside & (gap < log.margin[rows])
        if not to_the_end:
            better = ~found & (better | fooled)
    if paid is not None:
        better = better & paid
    waits = reading_waits(candidates.device)
    if not waits and not bool(better.any()):
        return
    newly = better & fooled & ~found
    spent = log.forwards[rows]
    if forwards is not None:
        spent, newly = forwards, newly | (fooled & found & (forwards < log.first_success[rows]))

    def put(column: Tensor, value: Tensor, where: Tensor) -> None:
        if waits:  # whole columns, for to choose rows by what holds of them reads values
            mask = where.reshape(-1, *[1] * (column.dim() - 1))
            column[rows] = torch.where(mask, value.to(column.dtype), column[rows])
        else:
            chosen = where.nonzero()[:, 0]
            column[rows[chosen]] = value[chosen].to(column.dtype)

    put(log.first_success, spent, newly)
    put(log.found, better & fooled, better & fooled)
    put(log.best, candidates, better)
    put(log.margin, gap, better)
    put(log.prediction, logits.argmax(dim=1), better)
    put(log.distance, away, better)
