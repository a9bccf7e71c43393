"""The Square attack: random search with square-shaped updates."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from robench.attacks.balls import Norm
from robench.attacks.base import Attack
from robench.attacks.draws import Draws
from robench.attacks.losses import log_odds, margin
from robench.attacks.query import Query
from robench.attacks.settings import check_norm, check_number, check_steps
from robench.attacks.square_search import Search
from robench.attacks.targets import Target, aimed_at, check_target
from robench.victim import Loss

# The share of pixels in a square is halved after each of these, out of 10,000 queries (section
# 5.1).
_HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


class Square(Attack):
    """At each query a random square changes; a change that lowers the margin stays.

    Andriushchenko et al. 2020 (arXiv 1912.00049): algorithm 1 with the sampling of algorithms 2
    (L∞) and 3 (L2), as the authors' code in AutoAttack does it. `queries` are all there are for
    an image, that of the start too. `p_init` is the share of pixels in the first squares; it is
    halved as the queries go, on a schedule that stretches to their number.

    Squares that are rejected leave the iterate as it is, so a few queries ahead are computed in one
    pass where that costs little more than one; of what comes behind an accepted one nothing is
    kept or counted.

    `target`: lowers the cross-entropy of a class chosen at the clean image, see
    `robench.attacks.targets`, which takes a forward beside the queries; None lowers the margin.
    """

    name = "square"
    access = "scores"

    def __init__(
        self, *, norm: Norm = "linf", queries: int = 5000, p_init: float = 0.8,
        target: Target | None = None,
    ) -> None:
        self.norm = check_norm(norm)
        self.queries = check_steps(queries, "queries")
        self.p_init = check_number(p_init, "p_init", high=1.0, open_low=True)
        self.target = None if target is None else check_target(target)

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        targets = aimed_at(self.target, victim, random)
        classes, loss = (labels, margin) if targets is None else (targets, _improbability)
        search = Search(images, epsilon, self.norm, random)
        lowest = loss(victim.logits(search.current), classes)
        final = search.current.clone()
        rows = torch.arange(len(images), device=images.device)
        query, ahead = 0, 1
        while query < self.queries - 1:
            kept = victim.kept()
            if kept is not None:
                final[rows] = search.current
                rows, classes, lowest = rows[kept], classes[kept], lowest[kept]
                victim = victim.select(kept)
                search.select(kept)
                if len(rows) == 0:
                    return final
            count = min(ahead, victim.room(), search.left_of_draw(query), self.queries - 1 - query)
            while self._share(query + count - 1) != self._share(query):
                count -= 1
            candidates = search.candidates(query, self.queries, self._share(query), count=count)
            last, logits = victim.until(
                candidates, partial(_lower, loss, classes.repeat(count), lowest.repeat(count))
            )
            lowest = search.accept(candidates[last], loss(logits, classes), lowest)
            # The later, the fewer squares are accepted.
            ahead = max(1, ahead // 2) if last < count - 1 else ahead + max(1, ahead // 4)
            query += last + 1
        final[rows] = search.current
        return final

    def _share(self, query: int) -> float:
        """The share of pixels in a square at this query, counted from 0."""
        place = query * 10000 // self.queries
        return self.p_init / 2.0 ** sum(place > after for after in _HALVED_AFTER)


def _lower(loss: Loss, classes: Tensor, lowest: Tensor, logits: Tensor) -> Tensor:
    return loss(logits, classes) < lowest


def _improbability(logits: Tensor, targets: Tensor) -> Tensor:
    """It orders candidates as the targets' cross-entropy does."""
    return -log_odds(logits, targets)
