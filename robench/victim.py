"""The thing under attack: pixels in [0,1] → logits, in eval mode, weights frozen.

Networks compute in *tiles*: a forward or backward pass always sees the same number of rows, the
last tile filled up with copies. Libraries choose their kernels by the shape of the batch, so the
same image gets slightly other logits in another batch size; in equal tiles it gets the same bits,
whatever the batch size and whichever images share the batch. That is what allows images to leave
a batch, and a matrix to give the same outcomes on any batch size. What is left over is computed in
smaller pieces where an arranged network is seen to give the same bits in those (`tiling`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from robench.arrangement import aligned, arranged, channels_last
from robench.device import reading_waits
from robench.freezing import frozen
from robench.logits import not_finite, shaped
from robench.precision import DOUBT, Precision, arithmetic
from robench.recording import Recordings
from robench.snapshots import Snapshot
from robench.tiling import Rows, Tiling, computed, cuts

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits N×K and labels N → one value per image, length N."""

_SHOWN = 8
"""How many images an arrangement is shown."""


class Victim(nn.Module):
    """A network as attacks see it.

    `network` maps float32 pixels N×C×H×W in [0,1] to logits N×K, K ≥ 2, or N×1, adapted as
    (0, z). `rowwise` is False for a network whose rows depend on their batch mates: it then runs
    on whole batches, and no image leaves a batch. `precision` is that of the gradients; logits
    that a verdict is given on are computed in float32, and `differed` of `confirmations` such
    verdicts were others than those of the passes for gradients. An answer takes `draws` passes of
    the network; where it `is_random`, what it draws hangs on when it is asked. Raises VictimError
    where the network gives another shape or values that are not finite.
    """

    def __init__(
        self, network: nn.Module, *, rowwise: bool = True, precision: Precision = "float32"
    ) -> None:
        super().__init__()
        self.network = network
        self.rowwise = rowwise
        self.precision: Precision = precision
        self.confirmations = 0
        self._differed: Tensor | int = 0
        self.draws = 1
        self.is_random = False
        self.num_classes = 0  # known from the first pass on
        self._tiling = Tiling()
        self._faster: _Faster | None = None
        self._aligned: Callable[[Tensor], Tensor] | None = None
        self._made_from: Snapshot | None = None  # what these two were, once they were looked for
        self._not_finite: dict[str, Tensor] = {}

    def forward(self, images: Tensor) -> Tensor:
        graph = torch.is_grad_enabled() and images.requires_grad

        def compute(batch: Rows, asked: int) -> Rows:
            # A caller with a graph may make another pass before it goes back through this one.
            return (self._logits(batch[0], asked, ended=not graph),)

        with arithmetic(images.device, "float32"):
            (logits,) = self._tiling.run(
                compute, (images,), tile=self.tile(images.device, len(images)), tries=not graph,
                kinds=self._kinds(images, "float32", back=graph),
            )
        return logits

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
        precision = precision or self.precision

        def compute(batch: Rows, asked: int) -> Rows:
            leaf = batch[0].detach().requires_grad_(True)
            logits = self._logits(leaf, asked, ended=True)
            slopes = [
                _input_gradient(loss(logits, batch[1]).sum(), leaf, keep=place < len(losses) - 1)
                for place, loss in enumerate(losses)
            ]
            return logits.detach(), *(slope.contiguous() for slope in slopes)

        with torch.enable_grad(), arithmetic(images.device, precision):
            logits, *slopes = self._tiling.run(
                compute, (images, labels), tile=self.tile(images.device, len(images)),
                kinds=self._kinds(images, precision, back=True),
            )
        return logits, slopes

    def arrange(self, images: Tensor) -> None:
        """Compute with a faster arrangement of the network's weights, as they are now, where it
        gives the same logits on a few of `images` N×C×H×W.

        An attack that is called does it by itself. A victim that is arranged beforehand spares
        the next attacks that work; where its network is seen to have changed meanwhile (weights,
        buffers, plain attributes), an attack that is called arranges it anew.
        """
        if self._made_from is None and self.rowwise and len(images):
            tensors = [*self.network.parameters(), *self.network.buffers(), images]
            shown = images[:_SHOWN].to(tensors[0].device)
            with frozen(self.network):
                faster, even = arranged(self.network, shown), aligned(self.network, shown)
                if faster is not None or even is not None:
                    self._made_from = Snapshot.of(self.network)
                self._faster = None if faster is None else _Faster.of(faster)
                # Not the copy itself, which would become one of the victim's modules.
                self._aligned = None if even is None else even.__call__

    def renew(self, images: Tensor) -> None:
        """Arrange anew where the network has changed since it was arranged."""
        if self._made_from is not None and not self._made_from.still_holds(self.network):
            self._faster = self._aligned = self._made_from = None
            self._tiling.start_again()
            self.arrange(images)

    @property
    def is_arranged(self) -> bool:
        """Whether a faster arrangement computes in the network's place."""
        return self._faster is not None

    @property
    def is_exact(self) -> bool:
        """Whether the logits of every pass are the network's own, in float32."""
        return self._faster is None and self.precision == "float32"

    def in_doubt(self, logits: Tensor) -> Tensor:
        """Where another arithmetic than the network's own might have put another class first;
        boolean of length N."""
        if self.is_exact:
            return torch.zeros(len(logits), dtype=torch.bool, device=logits.device)
        first, second = logits.topk(2, dim=1).values.unbind(dim=1)
        return first - second <= self.rounding(logits)

    def rounding(self, logits: Tensor) -> Tensor:
        """How much less than in a pass that gave `logits` the gap between two of them may be in the
        network's own arithmetic; float32 of length N."""
        return DOUBT[self.precision] * logits.abs().amax(dim=1)

    def confirmed(self, images: Tensor, logits: Tensor, asked: Tensor) -> Tensor:
        """`logits` N×K of `images`, in the `asked` rows those of the network itself, in float32:
        what a verdict is given on. Linear layers of odd width add up in an order of their own
        there, so that a verdict does not hang on an image's place in the batch."""
        rows = asked.nonzero()[:, 0]
        if not len(rows):
            return logits
        return logits.index_copy(0, rows, self.asked_again(images[rows], logits[rows]))

    def asked_again(self, images: Tensor, logits: Tensor) -> Tensor:
        """The network's own logits N×K of `images`, for which a pass gave `logits`."""
        faster, self._faster = self._faster, None
        try:
            exact = self.logits(images)
        finally:
            self._faster = faster
        self.confirmations += len(images)
        differed = (exact.argmax(dim=1) != logits.argmax(dim=1)).sum()
        self._differed = self._differed + (
            differed if reading_waits(images.device) else int(differed)
        )
        return exact

    @property
    def differed(self) -> int:
        """How many of the `confirmations` were of another class than the pass they confirm."""
        return int(self._differed)

    def start_counting(self) -> None:
        """No verdict was confirmed yet."""
        self.confirmations, self._differed = 0, 0

    def verdict(self, images: Tensor) -> Tensor:
        """The logits N×K that say which class is first, without a graph."""
        logits = self.logits(images)
        self.settle()
        return self.confirmed(images, logits, self.in_doubt(logits))

    def tile(self, device: torch.device, rows: int) -> int:
        """How many rows one pass of the network sees at the most."""
        return self._tiling.tile(device) if self.rowwise else max(rows, 1)

    def saves(self, images: Tensor, left: int) -> bool:
        """Whether passes over the `left` of `images` that are still of interest compute fewer rows
        than passes over all of them."""
        device = images.device
        return self.computed(device, left) < self.computed(device, len(images))

    def computed(self, device: torch.device, rows: int) -> int:
        """How many rows the network computes for a batch of `rows`, filled up ones included, if
        the small pieces do that were not tried yet."""
        small = self._tiling.hoped_for(device) if self._divides else []
        return computed(cuts(device, rows, tile=self.tile(device, rows), small=small))

    def halve_tiles(self, device: torch.device) -> int:
        """Compute in tiles of half as many rows from now on; gives the new number of rows.

        For a network that does not fit into memory otherwise. Its logits may change in their
        last bits.
        """
        if self._faster is not None:
            self._faster.recordings.forget()
        return self._tiling.halve(device)

    @property
    def _divides(self) -> bool:
        """Whether what is left over may be computed in smaller pieces than a tile."""
        return self.rowwise and self._faster is not None

    def _kinds(self, images: Tensor, precision: Precision, *, back: bool) -> list[Hashable]:
        """What passes over such images are alike in, but for the number of rows; there `and back`
        comprises there."""
        if not self._divides:
            return []
        shape = (images.shape[1:], images.dtype, images.device, precision)
        return [(*shape, "and back")] if back else [(*shape, "there"), (*shape, "and back")]

    def _computing(self, *, ended: bool = False) -> Callable[[Tensor], Tensor]:
        """What computes the logits; of passes that are `ended` before the next, a recording."""
        if self._faster is None:
            return self.network if self._aligned is None else self._aligned
        return self._faster.recordings if ended else self._faster.compute

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


@dataclass(frozen=True)
class _Faster:
    """An arrangement of a network; no part of the victim's modules."""

    compute: Callable[[Tensor], Tensor]
    recordings: Recordings

    @classmethod
    def of(cls, network: nn.Module) -> Self:
        def compute(images: Tensor) -> Tensor:
            return network(channels_last(images))  # type: ignore[no-any-return]

        return cls(compute, Recordings(compute))


def _input_gradient(total: Tensor, leaf: Tensor, *, keep: bool = False) -> Tensor:
    if not total.requires_grad:  # nothing between the pixels and the loss lets a gradient through
        return torch.zeros_like(leaf)
    (gradient,) = torch.autograd.grad(total, leaf, retain_graph=keep, allow_unused=True)
    return torch.zeros_like(leaf) if gradient is None else gradient
