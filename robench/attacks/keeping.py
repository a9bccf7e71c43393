"""Which of the iterates that a victim was shown is kept of each image."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from robench.attacks.balls import Norm, distances
from robench.attacks.log import Log, put
from robench.attacks.losses import margin
from robench.device import reading_waits

# The step between float32 numbers at 1. Attacks that compute in float32 leave their ball by as
# much; such an iterate counts, and is moved inside and judged again before it is kept.
_ROUNDING = 2.0**-23


@dataclass(frozen=True)
class Shown:
    """`candidates` N×C×H×W that a victim was shown, how far `away` N each is from its image, and
    which are `valid`: in the box, and in the ball where that counts."""

    candidates: Tensor
    away: Tensor
    valid: Tensor

    @classmethod
    def of(
        cls, candidates: Tensor, images: Tensor, *, epsilon: float, norm: Norm, smallest: bool
    ) -> Shown:
        away = distances(images, candidates, norm)
        pixels = candidates.flatten(1)  # one by one they are found in a fifth of `aminmax`'s time
        valid = (pixels.amin(dim=1) >= 0.0) & (pixels.amax(dim=1) <= 1.0)
        if not smallest:
            # In L1 the roundings of all pixels add up; being random, like the root of their number.
            roundings = {"linf": 1.0, "l2": 1.0, "l1": images[:1].numel() ** 0.5}
            valid &= away <= epsilon * (1 + 1e-6) + _ROUNDING * roundings.get(norm, 0.0)
        return cls(candidates, away, valid)

    def may_be_kept(
        self, log: Log, rows: Tensor, *, smallest: bool, to_the_end: bool
    ) -> Tensor:
        """Which may be written to these `rows` of the log, by whether they break the image and by
        how much; boolean of length N."""
        if smallest:
            return self.valid & (self.away < log.distance[rows])
        return self.valid if to_the_end else self.valid & ~log.found[rows]


def keep_better(
    log: Log, rows: Tensor, shown: Shown, logits: Tensor, labels: Tensor, fooled: Tensor, *,
    smallest: bool, to_the_end: bool, paid: Tensor | None, forwards: Tensor | None = None,
) -> None:
    """Write to `rows` of the log what was `shown` and is better than what it has.

    `logits` N×K are the candidates', `fooled` N says where they break the image. The first valid
    one that breaks the image is the best, before that the one of the smallest margin; with
    `smallest` the nearest that breaks it; with `to_the_end` the one of the smallest margin, broken
    or not. Rows that are not `paid` for are left alone. `forwards` N says how many each had cost
    where that is less than by now: a first success may be one that is told of late.
    """
    if paid is not None:
        log.tried[rows] |= paid & (shown.away > 0)
    gap = margin(logits, labels)
    found, fooled = log.found[rows], fooled & shown.valid
    better = shown.may_be_kept(log, rows, smallest=smallest, to_the_end=to_the_end)
    if smallest:
        better = better & fooled
    else:
        nearer = gap < log.margin[rows]
        better = better & (nearer if to_the_end else nearer | fooled)
    if paid is not None:
        better = better & paid
    waits = reading_waits(shown.away.device)
    if not waits and not bool(better.any()):
        return
    newly = better & fooled & ~found
    spent = log.forwards[rows]
    if forwards is not None:
        spent, newly = forwards, newly | (fooled & found & (forwards < log.first_success[rows]))

    def keep(column: Tensor, value: Tensor, where: Tensor) -> None:
        if waits:
            put(column, rows, value, where=where)
        else:
            chosen = where.nonzero()[:, 0]
            column[rows[chosen]] = value[chosen].to(column.dtype)

    keep(log.first_success, spent, newly)
    keep(log.found, better & fooled, better & fooled)
    keep(log.best, shown.candidates, better)
    keep(log.margin, gap, better)
    keep(log.prediction, logits.argmax(dim=1), better)
    keep(log.distance, shown.away, better)
