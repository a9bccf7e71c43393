"""The adversarial saliency map over pairs of features: the best pairs, searched exactly.

Papernot et al. 2016 (arXiv 1511.07528), algorithm 3: among all pairs {p, q} of the search domain
with α = a_p + a_q > 0 and β = b_p + b_q < 0, the one of the largest −α·β; a is the gradient of
the target's logit, b that of the sum of the other logits. Here `gain` is a and `relief` is −b,
both N×P and negated where features decrease, so that a pair wants both sums large.

Trying all P² pairs is not needed. Say that r dominates p where gain and relief of r are at least
those of p, and of features equal in both the first dominates. If a pair {p, q} holds a p that is
dominated by some r outside of it, {r, q} is at least as good: both sums are no smaller, so they
stay positive, and their product is no smaller; floating point keeps this, for rounding is
monotone. Exchanging so until it ends leaves a best pair in which p and q are dominated by nobody
but each other. Dominance is a strict order, so of the two one is dominated by nobody and the
other by at most one: a best pair is among the features with *at most one dominator*, which lie
on the first two Pareto layers. They are a few dozen of hundreds of thousands.
"""

from __future__ import annotations

import torch
from torch import Tensor

_NEVER = float("-inf")
_TABLE = 2**20
"""How many pairs are scored at a time: what bounds the memory, even if nobody is dominated."""


def best_pairs(
    gain: Tensor, relief: Tensor, room: Tensor, *, changes: int = 1
) -> tuple[Tensor, Tensor]:
    """(pairs, times) of the next `changes` changes of a pair, all by one saliency map.

    `gain` and `relief` are float N×P; `room` int N×P is how often each feature may still be
    changed, 0 out of the search domain. The best pair is changed until one of its features has
    no room left, then the best pair of those that have, and so on. `pairs` int64 N×M×2 are the
    features of M ≤ `changes` pairs, best first, and −1 where none has both sums positive;
    `times` int64 N×M says how often each pair is changed. Features that are not finite are out
    of the domain.
    """
    allowed = (room > 0) & gain.isfinite() & relief.isfinite()
    order = gain.masked_fill(~allowed, _NEVER).argsort(dim=1, descending=True, stable=True)
    gain, relief, room = (each.gather(1, order) for each in (
        gain.masked_fill(~allowed, _NEVER), relief.masked_fill(~allowed, _NEVER), room.long()
    ))
    rows = torch.arange(len(gain), device=gain.device)
    left = torch.full_like(rows, changes)
    pairs = order.new_full((len(gain), changes, 2), -1)
    times = torch.zeros_like(pairs[:, :, 0])
    for turn in range(changes):
        pair = _best_pair(gain, relief)
        there, columns = pair[:, 0] >= 0, pair.clamp_min(0)
        often = torch.where(there, room.gather(1, columns).amin(dim=1).minimum(left), 0)
        pairs[rows, turn] = _looked_up(order[rows], pair)
        times[rows, turn] = often
        # Where this was no pair, there is none among what is left, and nothing is taken.
        left = torch.where(there, left - often, 0)
        going = left.nonzero()[:, 0]
        if len(going) == 0:
            break
        rows, left, columns, often, gain, relief, room = (
            each[going] for each in (rows, left, columns, often, gain, relief, room)
        )
        room = room.scatter_add(1, columns, -often[:, None].expand_as(columns))
        spent = room.gather(1, columns) == 0
        gain, relief = (
            each.scatter(1, columns, each.gather(1, columns).masked_fill(spent, _NEVER))
            for each in (gain, relief)
        )
    return pairs[:, : turn + 1], times[:, : turn + 1]


def _best_pair(gain: Tensor, relief: Tensor) -> Tensor:
    """Columns of the best pair of each row, N×2, or −1, of features by falling gain."""
    few = _little_dominated(relief)
    return _looked_up(few, _best_of_all(_taken(gain, few), _taken(relief, few)))


def _little_dominated(relief: Tensor) -> Tensor:
    """Columns of the entries with at most one dominator, N×M, filled up with −1.

    Columns are by falling gain, so dominators are earlier entries with no smaller relief (of
    equal gains some are overlooked, which leaves in more than need be). An entry has at most one
    if it is above the second largest before it: the largest is a running maximum, the second
    largest that of what the first one let go.
    """
    largest = _before(relief)
    threshold = _before(torch.minimum(relief, largest))
    chosen = relief > threshold
    slots = chosen.cumsum(dim=1) - 1
    rows, columns = chosen.nonzero(as_tuple=True)
    width = int(slots[:, -1].max()) + 1 if slots.numel() else 0
    table = torch.full((len(relief), width), -1, dtype=torch.int64, device=relief.device)
    table[rows, slots[rows, columns]] = columns
    return table


def _before(values: Tensor) -> Tensor:
    """The largest value before each column, N×P; −∞ before the first."""
    shifted = torch.full_like(values, _NEVER)
    shifted[:, 1:] = values.cummax(dim=1).values[:, :-1]
    return shifted


def _best_of_all(gain: Tensor, relief: Tensor) -> Tensor:
    """Columns of the best pair of each row, N×2, or −1; all pairs are tried, a block at a time.

    In float64, in which the product of two float32 numbers does not vanish.
    """
    gain, relief = gain.double(), relief.double()
    rows, width = gain.shape
    best = gain.new_zeros(rows)
    pair = torch.full((rows, 2), -1, dtype=torch.int64, device=gain.device)
    block = max(1, _TABLE // max(rows * width, 1))
    for start in range(0, width - 1, block):
        # Columns up to `start` have met all others as a first one.
        first, second = slice(start, start + block), slice(start + 1, width)
        ahead = gain[:, first, None] + gain[:, None, second]
        under = relief[:, first, None] + relief[:, None, second]
        score = torch.where((ahead > 0) & (under > 0), ahead * under, 0.0).triu()
        value, place = score.flatten(1).max(dim=1)
        better = value > best
        best = torch.where(better, value, best)
        others = width - start - 1
        here = torch.stack([start + place // others, start + 1 + place % others], dim=1)
        pair = torch.where(better[:, None], here, pair)
    return pair


def _taken(values: Tensor, columns: Tensor) -> Tensor:
    """`values` at `columns`, and −∞ where those are −1."""
    return values.gather(1, columns.clamp_min(0)).masked_fill(columns < 0, _NEVER)


def _looked_up(table: Tensor, columns: Tensor) -> Tensor:
    """`table` at `columns`, and −1 where those are −1."""
    if table.shape[1] == 0:
        return torch.full_like(columns, -1)
    return table.gather(1, columns.clamp_min(0)).masked_fill(columns < 0, -1)
