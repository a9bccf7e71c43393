"""Passes recorded on a GPU as CUDA graphs, and launched as one.

A pass of a small network is hundreds of kernels, which the host starts one by one and for longer
than they run. A recording starts them all at once, at the one number of rows it was made with:
what tiles give anyway.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from robench.device import reading_waits

Compute = Callable[[Tensor], Tensor]
"""Images N×C×H×W → logits N×K."""

_PATIENCE = 32
"""How many passes of a kind are computed as they are before one is recorded, which takes a dozen
passes and their memory again."""
_WORTH = 0.95
"""The share of the time without it that a recording may take."""
_TIMED = 4


def recorded(compute: Compute, images: Tensor) -> Compute:
    """`compute` as a pair of CUDA graphs, there and back, for images of that shape.

    Its outputs lie where those of the next call will. Raises RuntimeError for what cannot be
    recorded, as a network that reads a value, or where the memory does not suffice.
    """
    made: Any = torch.cuda.make_graphed_callables(
        compute, (images,), allow_unused_input=True, capture_error_mode="thread_local"
    )
    return made  # type: ignore[no-any-return]


class Recordings:
    """The passes of `compute`, recorded by shape and arithmetic once there were enough of a kind.

    A recording is used only where it gives the same bits, for logits and for gradients, in less
    time. A caller must have gone back through a pass, as often as it means to, before the next
    one: the values in between are overwritten.
    """

    def __init__(
        self, compute: Compute, *, record: Callable[[Compute, Tensor], Compute] = recorded
    ) -> None:
        self._compute = compute
        self._record = record
        self._passes: Counter[object] = Counter()
        self._made: dict[object, Compute | None] = {}

    def __call__(self, images: Tensor) -> Tensor:
        if not reading_waits(images.device):
            return self._compute(images)
        kind = (images.shape, images.dtype, images.device, *_settings(images.device))
        if kind not in self._made:
            self._passes[kind] += 1
            if self._passes[kind] <= _PATIENCE:
                return self._compute(images)
            self._made[kind] = self._worth_it(images.detach())
        made = self._made[kind]
        return self._compute(images) if made is None else made(images)

    def forget(self) -> None:
        """Give the memory of all recordings back."""
        self._made.clear()
        self._passes.clear()

    def _worth_it(self, images: Tensor) -> Compute | None:
        with torch.enable_grad():
            sample = images.clone().requires_grad_(True)
            try:
                replayed = self._record(self._compute, sample)
                made: Compute = lambda images: replayed(_Kept.apply(images)).clone()  # noqa: E731
                asked, given = (_there_and_back(each, images) for each in (self._compute, made))
            except RuntimeError:
                return None
            if not all(torch.equal(one, other) for one, other in zip(asked, given, strict=True)):
                return None
            plain, fast = (_seconds(each, images) for each in (self._compute, made))
        return made if fast <= _WORTH * plain else None


class _Kept(torch.autograd.Function):
    """Images as they are; their gradient in memory of its own."""

    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        return images.view_as(images)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        return slopes[0].clone()


def _there_and_back(compute: Compute, images: Tensor) -> tuple[Tensor, Tensor]:
    leaf = images.clone().requires_grad_(True)
    logits = compute(leaf)
    weights = torch.linspace(-1.0, 1.0, logits.shape[1], device=logits.device)
    (slope,) = torch.autograd.grad((logits * weights).sum(), leaf)
    return logits.detach(), slope


def _seconds(compute: Compute, images: Tensor) -> float:
    """Of a few passes there and back, to their end on the device."""
    started = time.perf_counter()
    for _ in range(_TIMED):
        _, slope = _there_and_back(compute, images)
    slope.sum().item()
    return time.perf_counter() - started


def _settings(device: torch.device) -> tuple[object, ...]:
    """The arithmetic that a pass is computed in."""
    return (
        torch.is_autocast_enabled(device.type), torch.get_autocast_dtype(device.type),
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.deterministic,
    )
