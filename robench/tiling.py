"""How many rows each pass of a network computes, and whether fewer give the same bits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence

import torch
from torch import Tensor

_TILES = {"cpu": 32, "cuda": 256}
_PARTS = 8
"""A piece of so many equal parts of a tile, on a CPU: any number of them. And a pass, however
small, takes as long as one part longer than its rows."""

Cut = tuple[int, int]
"""Rows that a pass computes, and how many of them are asked for."""
Rows = tuple[Tensor, ...]
"""Tensors of equal length: images and labels, or logits and gradients."""
Pass = Callable[[Rows, int], Rows]
"""Rows of a batch, and how many of them are asked for (the first) → what comes out for each."""


class Tiling:
    """Whole tiles, and what is left over in smaller pieces, where these give the same bits.

    Libraries choose their kernels by shapes, not by values, so that a piece that gives the bits of
    a whole tile for some images gives them for all. It is tried as soon as the rows computed for
    nothing, for want of it, are more than its own, which is what it costs: the last rows of a pass
    that is made anyway are computed again in the smaller piece.
    """

    def __init__(self) -> None:
        self._tile: int | None = None
        self._same: dict[Hashable, dict[int, bool]] = {}
        self._filler: Counter[tuple[Hashable, int]] = Counter()

    def tile(self, device: torch.device) -> int:
        """The rows of a whole tile."""
        return self._tile or _TILES.get(device.type, 256)

    def candidates(self, device: torch.device) -> list[int]:
        """The rows of pieces smaller than a tile that are worth a try, ascending.

        Halves, their halves and so on; on a CPU, which takes less time for fewer rows, so many
        more that what is left over is one piece.
        """
        tile = self.tile(device)
        halves = {tile // 2**power for power in range(1, 6) if tile % 2**power == 0}
        part = tile // _PARTS
        even = {part * count for count in range(1, _PARTS)} if device.type == "cpu" else set()
        return sorted((halves | even) - {0, tile})

    def halve(self, device: torch.device) -> int:
        """Tiles of half as many rows from now on; gives the new number of rows."""
        self._tile = max(self.tile(device) // 2, 1)
        self.start_again()
        return self._tile

    def start_again(self) -> None:
        """Nothing is known of small pieces."""
        self._same.clear()
        self._filler.clear()

    def known(self, kinds: Sequence[Hashable]) -> list[int]:
        """The rows of pieces that are known to give a whole tile's bits in passes of some of the
        `kinds`, ascending."""
        return sorted({size for kind in kinds
                       for size, same in self._same.get(kind, {}).items() if same})

    def hoped_for(self, device: torch.device) -> list[int]:
        """The rows of pieces that are not known to give other bits in some kind of passes,
        ascending."""
        refused = {size for sizes in self._same.values() for size, same in sizes.items()
                   if not same}
        return [size for size in self.candidates(device) if size not in refused]

    def run(
        self, compute: Pass, batch: Rows, *, tile: int, kinds: Sequence[Hashable] = (),
        tries: bool = True,
    ) -> Rows:
        """What `compute` makes of each row of a batch, in passes of `tile` rows.

        Passes of one kind differ in the number of their rows alone: these are of the first of
        `kinds`, and what does for another of those does for them. What is left over is computed in
        pieces that are known to do, and further ones are tried, if it `tries`. Without a kind
        there are whole tiles only.
        """
        device, rows = batch[0].device, len(batch[0])
        whole, left = rows - rows % tile, rows % tile
        wanted = self._wanted(device, left, tile=tile, kinds=kinds) if kinds and tries else []
        made: list[Rows] = []
        part: Rows = ()
        for start in range(0, whole, tile):
            part = tuple(each[start : start + tile] for each in batch)
            made.append(compute(part, tile))
        if made:
            self._try(compute, wanted, part, made[-1], kinds=kinds)
            wanted = []
        # What is still to be tried is compared with one tile, of filler if need be.
        over = cuts(device, left, tile=tile, small=[] if wanted else self.known(kinds))
        rest = tuple(each[whole:] for each in batch)
        for part, asked in parts(rest, over if rows else [(tile, 0)]):
            results = compute(part, asked)
            made.append(tuple(each[:asked] for each in results))
            self._try(compute, wanted, part, results, kinds=kinds)
        return made[0] if len(made) == 1 else tuple(map(torch.cat, zip(*made, strict=True)))

    def _wanted(
        self, device: torch.device, left: int, *, tile: int, kinds: Sequence[Hashable]
    ) -> list[int]:
        """The pieces to try now, for so many rows that are `left` over."""
        kind, known = kinds[0], self.known(kinds)
        refused = {size for size, same in self._same.get(kind, {}).items() if not same}
        hoped = [size for size in self.candidates(device) if size not in refused - {*known}]
        best = cuts(device, left, tile=tile, small=hoped)
        missing = {size for size, _ in best if size < tile}.difference(known)
        if not missing:
            return []
        now = cuts(device, left, tile=tile, small=known)
        idle = cost(now, tile=tile) - cost(best, tile=tile)
        for size in missing:
            self._filler[kind, size] += idle
        wanted = [size for size in sorted(missing) if self._filler[kind, size] > size]
        for size in wanted:
            self._filler[kind, size] = 0
        return wanted

    def _try(
        self, compute: Pass, sizes: Sequence[int], batch: Rows, made: Rows, *,
        kinds: Sequence[Hashable],
    ) -> None:
        """Compute the last rows of a tile once more in pieces of such `sizes`, and keep in mind
        which give the bits that were `made` of them."""
        for size in sizes:
            part, known = (tuple(each[-size:] for each in rows) for rows in (batch, made))
            pixels = part[0].flatten(1)
            even = bool((pixels.amax(dim=1) == pixels.amin(dim=1)).any())
            if even or not all(bool(each.any()) for each in known):
                continue  # of nothing but zeros every kernel gives the same
            try:
                same = all(map(torch.equal, compute(part, 0), known))
            except Exception:  # as of a network that squeezes a single row away: not in this size
                same = False
            self._same.setdefault(kinds[0], {})[size] = same


def cuts(
    device: torch.device, rows: int, *, tile: int, small: Sequence[int]
) -> list[Cut]:
    """The passes over a batch of `rows`: whole ones of `tile` rows, and what is left over in
    `small` ones, ascending."""
    left = rows % tile
    if device.type == "cpu":
        over = _divided(left, tile=tile, small=small)
    else:  # A GPU takes as long for each pass, whatever its rows.
        over = [(next((size for size in small if size >= left), tile), left)] if left else []
    return [(tile, tile)] * (rows // tile) + over


def _divided(left: int, *, tile: int, small: Sequence[int]) -> list[Cut]:
    """The passes over what is left over that take the least time on a CPU."""
    if left == 0:
        return []
    one = [(next((size for size in small if size >= left), tile), left)]
    below = [size for size in small if size < left][-1:]
    divided = [
        [(size, size), *_divided(left - size, tile=tile, small=small)] for size in below
    ]
    return min([*divided, one], key=lambda passes: cost(passes, tile=tile))


def cost(passes: Sequence[Cut], *, tile: int) -> int:
    """What some passes take on a CPU, in rows."""
    return computed(passes) + len(passes) * (tile // _PARTS)


def computed(passes: Sequence[Cut]) -> int:
    """How many rows some passes compute, those for nothing included."""
    return sum(size for size, _ in passes)


def parts(batch: Rows, passes: Sequence[Cut]) -> Iterator[tuple[Rows, int]]:
    """The rows of each pass, filled up with copies of them, and how many of them are asked for."""
    pieces = [torch.split(each, [asked for _, asked in passes]) for each in batch]
    for (size, asked), *part in zip(passes, *pieces, strict=True):
        yield tuple(_filled(each, size) for each in part), asked


def _filled(rows: Tensor, size: int) -> Tensor:
    """`rows` over and over, to a length of `size`; zeros where there is none."""
    if len(rows) == 0:
        return rows.new_zeros(size, *rows.shape[1:])
    if len(rows) == size:
        return rows
    return rows[torch.arange(size, device=rows.device) % len(rows)]
