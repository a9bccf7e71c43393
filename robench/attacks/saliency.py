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
on the first two Pareto layers. They are a few dozen of hundreds of thousands. Likewise the best
pair once 2k features have left the domain is among those with at most 2k + 1 dominators.
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
    few = _sorted_candidates(gain, relief, allowed, dominators=2 * changes - 1)
    left = torch.full((len(few),), changes, device=few.device)
    if few.shape[1] < 2:
        return few.new_full((len(few), 1, 2), -1), torch.zeros_like(left)[:, None]
    gain, relief = _taken(gain, few), _taken(relief, few)
    room = room.gather(1, few.clamp_min(0)).long()
    pairs, times = [], []
    for _ in range(changes):
        fewer = _with_few_dominators(relief, dominators=1)
        pair = _looked_up(fewer, _best_pair(_taken(gain, fewer), _taken(relief, fewer)))
        pairs.append(_looked_up(few, pair))
        # Where this was no pair, there is none among what is left, and nothing is taken.
        index, there = pair.clamp_min(0), pair[:, 0] >= 0
        often = torch.where(there, room.gather(1, index).amin(dim=1).minimum(left), 0)
        times.append(often)
        left = torch.where(there, left - often, 0)
        room = room.scatter_add(1, index, -often[:, None].expand_as(index))
        if not bool((left > 0).any()):
            break
        gain = gain.masked_fill(room == 0, _NEVER)
        relief = relief.masked_fill(room == 0, _NEVER)
    return torch.stack(pairs, dim=1), torch.stack(times, dim=1)


def _sorted_candidates(
    gain: Tensor, relief: Tensor, allowed: Tensor, *, dominators: int
) -> Tensor:
    """The allowed features with at most so many dominators, by falling gain; filled up with −1."""
    order = gain.masked_fill(~allowed, _NEVER).argsort(dim=1, descending=True, stable=True)
    falling = relief.masked_fill(~allowed, _NEVER).gather(1, order)
    return _looked_up(order, _with_few_dominators(falling, dominators=dominators))


def _with_few_dominators(relief: Tensor, *, dominators: int) -> Tensor:
    """Columns of the entries with at most so many dominators, N×M, filled up with −1.

    Columns are by falling gain, so dominators are earlier entries with no smaller relief (of
    equal gains some are overlooked, which leaves in more than need be). An entry has at most d of
    them if it is above the (d + 1)-th largest before it. The largest so far is a running
    maximum; the second largest is that of what the first one let go, and so on.
    """
    sinking, threshold = relief, relief
    for _ in range(dominators + 1):
        threshold = torch.full_like(relief, _NEVER)
        threshold[:, 1:] = sinking.cummax(dim=1).values[:, :-1]
        sinking = torch.minimum(sinking, threshold)
    chosen = relief > threshold
    slots = chosen.cumsum(dim=1) - 1
    rows, columns = chosen.nonzero(as_tuple=True)
    width = int(slots[:, -1].max()) + 1 if slots.numel() else 0
    table = torch.full((len(relief), width), -1, dtype=torch.int64, device=relief.device)
    table[rows, slots[rows, columns]] = columns
    return table


def _best_pair(gain: Tensor, relief: Tensor) -> Tensor:
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
