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
on the first two Pareto layers. They are a few dozen of hundreds of thousands. A change of a pair
takes two features out of the search at the most: the pairs of several changes are among those with
fewer than twice as many dominators.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_NEVER = float("-inf")
_TABLE = {"cpu": 2**20, "cuda": 2**25}
"""How many pairs are scored at a time: what bounds the memory, even if nobody is dominated."""


def best_pairs(
    gain: Tensor, relief: Tensor, room: Tensor, *, changes: int = 1, disjoint: bool = False
) -> tuple[Tensor, Tensor]:
    """(pairs, times) of the next `changes` changes of a pair, all by one saliency map.

    `gain` and `relief` are float N×P; `room` N×P is how often each feature may still be changed,
    0 out of the search domain. The best pair is changed until one of its features has no room
    left, then the best pair of those that have, and so on; `disjoint` ones once each. `pairs` int64
    N×`changes`×2 are the features, best first, and −1 where there is no further pair with both sums
    positive; `times` int64 N×`changes` says how often each pair is changed. Features that are not
    finite are out of the domain.
    """
    gain, relief = _domain(gain, relief, room)
    few = _table(_hardly_dominated(gain, relief, most=2 * changes))
    few = few.gather(1, _taken(gain, few).argsort(dim=1, descending=True, stable=True))
    search = _Search.among(few, gain, relief, room, changes=changes, disjoint=disjoint)
    pairs = few.new_full((len(gain), changes, 2), -1)
    times = torch.zeros_like(pairs[:, :, 0])
    rows = torch.arange(len(gain), device=gain.device)
    for turn in range(changes):
        pair = _best_pair(search.gain, search.relief)
        pairs[rows, turn] = _looked_up(search.features, pair)
        times[rows, turn] = search.take(pair)
        # Where this was no pair, there is none among what is left, and nothing is taken.
        going = search.left.nonzero()[:, 0]
        if len(going) == 0:
            break
        rows, search = rows[going], search.select(going)
    return pairs, times


def best_pairs_of(
    width: int, gain: Tensor, relief: Tensor, room: Tensor, *, changes: int = 1,
    disjoint: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """(pairs, times, too many): the same without reading a value, which a GPU would make the host
    wait for.

    A row that has more than `width` features that may be in the pairs has none, and is one of
    those, boolean of length N, of too many.
    """
    gain, relief = _domain(gain, relief, room)
    order = gain.argsort(dim=1, descending=True, stable=True)
    chosen = _dominated_by_fewer(relief.gather(1, order), 2 * changes)
    slots = chosen.cumsum(dim=1)
    many = slots[:, -1] > width
    few = order.new_full((len(gain), width + 1), -1)
    few.scatter_(1, torch.where(chosen & (slots <= width), slots - 1, width), order)
    few = few[:, :width].masked_fill(many[:, None], -1)
    search = _Search.among(few, gain, relief, room, changes=changes, disjoint=disjoint)
    pairs, times = [], []
    for _ in range(changes):
        pair = _best_of_all(search.gain, search.relief)
        pairs.append(_looked_up(search.features, pair))
        times.append(search.take(pair))
    return torch.stack(pairs, dim=1), torch.stack(times, dim=1), many


@dataclass
class _Search:
    """The `features` N×M that may be in the next pairs, by falling gain and −1 where there are
    fewer; `gain`, `relief` and `room` are theirs, `left` N the changes to come."""

    features: Tensor
    gain: Tensor
    relief: Tensor
    room: Tensor
    left: Tensor
    disjoint: bool

    @classmethod
    def among(
        cls, few: Tensor, gain: Tensor, relief: Tensor, room: Tensor, *, changes: int,
        disjoint: bool,
    ) -> _Search:
        return cls(
            features=few, gain=_taken(gain, few), relief=_taken(relief, few),
            room=room.gather(1, few.clamp_min(0)).long(),
            left=few.new_full((len(few),), changes), disjoint=disjoint,
        )

    def take(self, pair: Tensor) -> Tensor:
        """How often the pair N×2, or −1, is changed now, length N."""
        there, columns = pair[:, 0] >= 0, pair.clamp_min(0)
        room = self.room.gather(1, columns)
        most = self.left.clamp_max(1) if self.disjoint else self.left
        often = torch.where(there, room.amin(dim=1).minimum(most), 0)
        self.left = torch.where(there, self.left - often, 0)
        self.room = self.room.scatter_add(1, columns, -often[:, None].expand_as(columns))
        spent = (room == often[:, None]) | self.disjoint
        self.gain, self.relief = (
            each.scatter(1, columns, each.gather(1, columns).masked_fill(spent, _NEVER))
            for each in (self.gain, self.relief)
        )
        return often

    def select(self, rows: Tensor) -> _Search:
        if len(rows) == len(self.left):
            return self
        return _Search(
            self.features[rows], self.gain[rows], self.relief[rows], self.room[rows],
            self.left[rows], self.disjoint,
        )


def _domain(gain: Tensor, relief: Tensor, room: Tensor) -> tuple[Tensor, Tensor]:
    """Gain and relief, −∞ outside of the search domain."""
    outside = ~((room > 0) & gain.isfinite() & relief.isfinite())
    return gain.masked_fill(outside, _NEVER), relief.masked_fill(outside, _NEVER)


def _best_pair(gain: Tensor, relief: Tensor) -> Tensor:
    """Columns of the best pair of each row, N×2, or −1, of features by falling gain."""
    few = _table(_dominated_by_fewer(relief, 2))
    return _looked_up(few, _best_of_all(_taken(gain, few), _taken(relief, few)))


def _hardly_dominated(gain: Tensor, relief: Tensor, *, most: int) -> Tensor:
    """All entries with fewer than `most` dominators, and some more, boolean N×P.

    What is no better in either than each of `most` entries is left out, but for those like these.
    Entries that are good in both leave the fewest.
    """
    inside = gain > _NEVER
    if gain.shape[1] <= most:
        return inside
    scaled = (
        each / each.masked_fill(~inside, 0.0).abs().mean(dim=1, keepdim=True).clamp_min(1e-30)
        for each in (gain, relief)
    )
    best = torch.minimum(*scaled).topk(most, dim=1, sorted=False).indices
    ahead, under = (each.gather(1, best).amin(dim=1, keepdim=True) for each in (gain, relief))
    beyond = (gain > ahead) | (relief > under) | ((gain == ahead) & (relief == under))
    return beyond & inside


def _dominated_by_fewer(relief: Tensor, most: int) -> Tensor:
    """Which entries have fewer than `most` dominators, boolean N×P.

    Columns are by falling gain, so dominators are earlier entries with no smaller relief (of
    equal gains some are overlooked, which leaves in more than need be). So many are above the
    largest before, or the second largest, and so on: the largest is a running maximum, the next
    one that of what the one before let go.
    """
    left = relief
    for _ in range(most - 1):
        left = torch.minimum(left, _before(left))
    return relief > _before(left)


def _table(chosen: Tensor) -> Tensor:
    """The columns of what is chosen, boolean N×P, ascending, N×M of M ≥ 1, filled up with −1."""
    rows, columns = chosen.nonzero(as_tuple=True)
    counts = chosen.sum(dim=1)
    width = max(1, int(counts.max())) if len(counts) else 1
    slots = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
    table = torch.full((len(chosen), width), -1, dtype=torch.int64, device=rows.device)
    table[rows, slots] = columns
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
    block = max(1, _TABLE.get(gain.device.type, 2**20) // max(rows * width, 1))
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
    return table.gather(1, columns.clamp_min(0)).masked_fill(columns < 0, -1)
