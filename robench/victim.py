"""The thing under attack: pixels in [0,1] → logits, in eval mode, weights frozen.

Networks compute in *tiles*: a forward or backward pass always sees the same number of rows, the
last tile filled up with copies. Libraries choose their kernels by the shape of the batch, so the
same image gets slightly other logits in another batch size; in equal tiles it gets the same bits,
whatever the batch size and whichever images share the batch. That is what allows images to leave
a batch, and a matrix to give the same outcomes on any batch size. What is left over is computed in
halves, quarters and so on of a tile where an arranged network is seen to give the same bits in
those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from robench.arrangement import arranged, channels_last, same_bits
from robench.device import reading_waits
from robench.logits import not_finite, shaped
from robench.precision import DOUBT, Precision, arithmetic
from robench.recording import Recordings

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits N×K and labels N → one value per image, length N."""

_TILES = {"cpu": 32, "cuda": 256}
_FRACTIONS = (32, 16, 8, 4, 2)
_FILLER = 5
"""A piece may be filled up by a fifth of what is left over: a pass costs, however small."""
_PATIENCE = 4
"""How many tiles' worth of filler are computed before smaller tiles are tried."""


class Victim(nn.Module):
    """A network as attacks see it.

    `network` maps float32 pixels N×C×H×W in [0,1] to logits N×K, K ≥ 2, or N×1, adapted as
    (0, z). `rowwise` is False for a network whose rows depend on their batch mates: it then runs
    on whole batches, and no image leaves a batch. `precision` is that of the gradients; logits
    that a verdict is given on are computed in float32, and `differed` of `confirmations` such
    verdicts were others than those of the passes for gradients. Raises VictimError where the
    network gives another shape or values that are not finite.
    """

    def __init__(
        self, network: nn.Module, *, rowwise: bool = True, precision: Precision = "float32"
    ) -> None:
        super().__init__()
        self.network = network
        self.rowwise = rowwise
        self.precision: Precision = precision
        self.confirmations = 0
        self.differed = 0
        self.draws = 1
        self.num_classes = 0  # known from the first pass on
        self._tile_rows: int | None = None
        self._faster: list[nn.Module] = []  # in a list, so that it is no part of this module
        self._recordings: Recordings | None = None
        self._small_tiles: tuple[int, ...] = ()
        self._filler = 0
        self._looked = False
        self._not_finite: dict[str, Tensor] = {}

    def forward(self, images: Tensor) -> Tensor:
        cuts = self._cuts(images)
        # A caller with a graph may make another pass before it goes back through this one.
        ended = not (torch.is_grad_enabled() and images.requires_grad)
        with arithmetic(images.device, "float32"):
            tiles = [
                self._logits(tile, rows, ended=ended)[:rows] for tile, rows in _tiles(images, cuts)
            ]
        return _joined(tiles)

    def logits(self, images: Tensor) -> Tensor:
        """Logits N×K, without a graph."""
        with torch.no_grad():
            return self(images)  # type: ignore[no-any-return]

    def gradient(self, images: Tensor, labels: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
        """(logits, gradient of the summed `loss` in the pixels), one tile's graph at a time."""
        logits, (gradient,) = self.gradients(images, labels, [loss])
        return logits, gradient

    def gradients(
        self, images: Tensor, labels: Tensor, losses: Sequence[Loss], *,
        precision: Precision | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """(logits, the gradient of each summed loss), by one pass there and one back for each; in
        `precision`, or that of the victim's gradients."""
        logits: list[Tensor] = []
        slopes: list[list[Tensor]] = [[] for _ in losses]
        cuts = self._cuts(images)
        with torch.enable_grad(), arithmetic(images.device, precision or self.precision):
            for (tile, rows), (truth, _) in zip(
                _tiles(images, cuts), _tiles(labels, cuts), strict=True
            ):
                leaf = tile.detach().requires_grad_(True)
                output = self._logits(leaf, rows, ended=True)
                logits.append(output.detach()[:rows])
                for place, loss in enumerate(losses):
                    slope = _input_gradient(
                        loss(output, truth).sum(), leaf, keep=place < len(losses) - 1
                    )
                    slopes[place].append(slope[:rows].contiguous())
        return _joined(logits), [_joined(parts) for parts in slopes]

    def arrange(self, images: Tensor) -> None:
        """Compute with a faster arrangement of the network's weights, as they are now, where it
        gives the same logits on `images` N×C×H×W; for a network that is frozen, in eval mode and on
        the images' device."""
        if not self._faster and self.rowwise and len(images):
            faster = arranged(self.network, images)
            if faster is not None:
                self._faster = [faster]
                self._recordings = Recordings(lambda images: faster(channels_last(images)))

    @property
    def is_arranged(self) -> bool:
        """Whether a faster arrangement computes in the network's place."""
        return bool(self._faster)

    @property
    def is_exact(self) -> bool:
        """Whether the logits of every pass are the network's own, in float32."""
        return not self._faster and self.precision == "float32"

    def in_doubt(self, logits: Tensor) -> Tensor:
        """Where another arithmetic than the network's own might have put another class first;
        boolean of length N."""
        if self.is_exact:
            return torch.zeros(len(logits), dtype=torch.bool, device=logits.device)
        first, second = logits.topk(2, dim=1).values.unbind(dim=1)
        return first - second <= DOUBT[self.precision] * logits.abs().amax(dim=1)

    def confirmed(self, images: Tensor, logits: Tensor, asked: Tensor) -> Tensor:
        """`logits` N×K of `images`, in the `asked` rows those of the network itself, in float32:
        what a verdict is given on."""
        rows = asked.nonzero()[:, 0]
        if not len(rows):
            return logits
        faster, self._faster = self._faster, []
        try:
            exact = self.logits(images[rows])
        finally:
            self._faster = faster
        self.confirmations += len(rows)
        self.differed += int((exact.argmax(dim=1) != logits[rows].argmax(dim=1)).sum())
        return logits.index_copy(0, rows, exact)

    def verdict(self, images: Tensor) -> Tensor:
        """The logits N×K that say which class is first, without a graph."""
        logits = self.logits(images)
        self.settle()
        return self.confirmed(images, logits, self.in_doubt(logits))

    def tile(self, device: torch.device, rows: int) -> int:
        """How many rows one pass of the network sees at the most."""
        if not self.rowwise:
            return max(rows, 1)
        return self._tile_rows or _TILES.get(device.type, 256)

    def computed(self, device: torch.device, rows: int) -> int:
        """How many rows the network computes for a batch of `rows`, filled up ones included."""
        return sum(size for size, _ in self._pieces(device, rows))

    def halve_tiles(self, device: torch.device) -> int:
        """Compute in tiles of half as many rows from now on; gives the new number of rows.

        For a network that does not fit into memory otherwise. Its logits may change in their
        last bits.
        """
        self._tile_rows = max(self.tile(device, 1) // 2, 1)
        self._small_tiles = ()
        if self._recordings is not None:
            self._recordings.forget()
        return self._tile_rows

    def _cuts(self, images: Tensor) -> list[tuple[int, int]]:
        """(rows computed, rows of them that are asked for) of each pass over a batch."""
        cuts = self._pieces(images.device, len(images)) or [(self.tile(images.device, 0), 0)]
        size, asked = cuts[-1]
        if asked < size:
            self._filled_up(images, self.tile(images.device, len(images)), size - asked)
            cuts = self._pieces(images.device, len(images)) or cuts
        return cuts

    def _pieces(self, device: torch.device, rows: int) -> list[tuple[int, int]]:
        tile = self.tile(device, rows)
        pieces, left = [(tile, tile)] * (rows // tile), rows % tile
        # A CPU takes half the time for half the rows; a GPU takes as long for each pass.
        divided = device.type == "cpu"
        while left:
            size = next((size for size in self._small_tiles if size >= left), tile)
            below = [known for known in self._small_tiles if known < left]
            if divided and below and _FILLER * (size - left) > left:
                size = below[-1]
            asked = min(size, left)
            pieces.append((size, asked))
            left -= asked
        return pieces

    def _filled_up(self, images: Tensor, tile: int, filler: int) -> None:
        """Once much was computed for nothing, see whether smaller tiles give the same bits."""
        self._filler += filler
        if self._faster and self._filler >= _PATIENCE * tile and not self._looked:
            self._looked = True
            shape = (tile, *images.shape[1:])
            self._small_tiles = same_bits(
                self._computing(), shape, device=images.device, fractions=_FRACTIONS
            )

    def _computing(self, *, ended: bool = False) -> Callable[[Tensor], Tensor]:
        """What computes the logits; of passes that are `ended` before the next, a recording."""
        if not self._faster:
            return self.network
        if ended and self._recordings is not None:
            return self._recordings
        return lambda images: self._faster[0](channels_last(images))

    def _logits(self, images: Tensor, real: int, *, ended: bool) -> Tensor:
        logits = shaped(self._computing(ended=ended)(images), rows=len(images))
        self.num_classes = logits.shape[1]
        self._note(~torch.isfinite(logits.detach()[:real]).all(dim=1), "logits")
        return logits

    def note_gradients(self, bad: Tensor) -> None:
        """Say which images, boolean of length N, were given a gradient that is not finite."""
        self._note(bad, "gradients")

    def _note(self, bad: Tensor, what: str) -> None:
        if reading_waits(bad.device):
            self._not_finite[what] = self._not_finite.get(what, 0) + bad.sum()
        elif bool(bad.any()):
            raise not_finite(int(bad.sum()), of=len(bad), what=what)

    def settle(self) -> None:
        """Raise VictimError if a pass since the last time gave logits, or gradients, that are not
        finite.

        Where reading a value makes the host wait, passes are not looked at one by one.
        """
        noted, self._not_finite = self._not_finite, {}
        for what, bad in noted.items():
            if int(bad):
                raise not_finite(int(bad), what=what)


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _tiles(tensor: Tensor, cuts: Sequence[tuple[int, int]]) -> Iterator[tuple[Tensor, int]]:
    """The rows of each pass, filled up with copies, and how many of them are asked for."""
    parts = torch.split(tensor, [rows for _, rows in cuts])
    for (size, rows), part in zip(cuts, parts, strict=True):
        if rows < size:
            filler = part[-1:] if rows else part.new_zeros(1, *part.shape[1:])
            part = torch.cat([part, filler.expand(size - rows, *part.shape[1:])])
        yield part, rows


def _input_gradient(total: Tensor, leaf: Tensor, *, keep: bool = False) -> Tensor:
    if not total.requires_grad:  # nothing between the pixels and the loss lets a gradient through
        return torch.zeros_like(leaf)
    (gradient,) = torch.autograd.grad(total, leaf, retain_graph=keep, allow_unused=True)
    return torch.zeros_like(leaf) if gradient is None else gradient
