"""How many rows each pass of a network computes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

_TILES = {"cpu": 32, "cuda": 256}
_PARTS = 8
"""A piece of so many equal parts of a tile, on a CPU: any number of them."""
_FILLER = 5
"""A piece may be filled up by less than such a part, or a fifth of what is left over: a pass costs,
however small."""
_PATIENCE = 10
"""How many tiles' worth of filler are computed before smaller pieces are tried, which takes as
much."""

Cut = tuple[int, int]
"""Rows that a pass computes, and how many of them are asked for."""


class Tiling:
    """Whole tiles, and what is left over in `small` pieces, where these are known to do."""

    def __init__(self) -> None:
        self.small: tuple[int, ...] = ()
        self._tile: int | None = None
        self._filler = 0
        self._looked = False

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
        self.small = ()
        return self._tile

    def start_again(self) -> None:
        """Nothing is known of small pieces."""
        self.small, self._looked = (), False

    def cuts(self, device: torch.device, rows: int, *, tile: int) -> list[Cut]:
        """The passes over a batch of `rows`, whole ones of `tile` rows."""
        cuts, left = [(tile, tile)] * (rows // tile), rows % tile
        # A CPU takes half the time for half the rows; a GPU takes as long for each pass.
        divided = device.type == "cpu"
        while left:
            size = next((size for size in self.small if size >= left), tile)
            below = [known for known in self.small if known < left]
            filler = size - left
            if divided and below and filler >= tile // _PARTS and _FILLER * filler > left:
                size = below[-1]
            asked = min(size, left)
            cuts.append((size, asked))
            left -= asked
        return cuts

    def time_to_look(self, device: torch.device, filler: int) -> bool:
        """Whether, with `filler` more rows computed for nothing, so many were that small pieces
        should be tried; once."""
        self._filler += filler
        if self._looked or self._filler < _PATIENCE * self.tile(device):
            return False
        self._looked = True
        return True


def parts(tensor: Tensor, cuts: Sequence[Cut]) -> Iterator[tuple[Tensor, int]]:
    """The rows of each pass, filled up with copies, and how many of them are asked for."""
    pieces = torch.split(tensor, [rows for _, rows in cuts])
    for (size, rows), part in zip(cuts, pieces, strict=True):
        if rows < size:
            filler = part[-1:] if rows else part.new_zeros(1, *part.shape[1:])
            part = torch.cat([part, filler.expand(size - rows, *part.shape[1:])])
        yield part, rows
