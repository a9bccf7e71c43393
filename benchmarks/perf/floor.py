"""The floor: the fastest forward and backward pass to the pixels that could be found."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.nn import functional

T = TypeVar("T")
_REPEATS = 3


def floor(
    network: nn.Module, images: Tensor, labels: Tensor, *, compiled: bool
) -> tuple[float, str]:
    """(seconds of one forward and backward over all images, the arrangement that took them)."""
    timed = {
        name: _seconds(work, images.device)
        for name, work in _arrangements(network.eval(), images, labels, compiled=compiled)
    }
    best = min(timed, key=lambda name: timed[name])
    return timed[best], best


def _arrangements(
    network: nn.Module, images: Tensor, labels: Tensor, *, compiled: bool
) -> Iterator[tuple[str, Callable[[], None]]]:
    frozen = copy.deepcopy(network).requires_grad_(False)
    last = copy.deepcopy(frozen).to(memory_format=torch.channels_last)
    trainable = copy.deepcopy(network).requires_grad_(True)
    for name, arranged, pixels in (
        ("eager", trainable, images),
        ("frozen", frozen, images),
        ("channels-last", last, images.contiguous(memory_format=torch.channels_last)),
        ("folded", _folded(frozen), images),
        ("folded, channels-last", _folded(frozen).to(memory_format=torch.channels_last),
         images.contiguous(memory_format=torch.channels_last)),
    ):
        for chunk in (len(images), 64, 32):
            if chunk <= len(images):
                yield f"{name}, chunks of {chunk}", _pass(arranged, pixels, labels, chunk)
    if compiled:
        yield "compiled, folded", _pass(torch.compile(_folded(frozen)), images, labels, len(images))


def _folded(network: nn.Module) -> nn.Module:
    """BatchNorm folded into the convolutions; the normalisation in front, which looks at the shape
    of its images, cannot be traced and stays."""
    assert isinstance(network, nn.Sequential)
    normalise, bare = network
    return nn.Sequential(normalise, fuse(bare))


def _pass(
    network: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, chunk: int
) -> Callable[[], None]:
    def work() -> None:
        for pixels, truth in zip(images.split(chunk), labels.split(chunk), strict=True):
            leaf = pixels.detach().requires_grad_(True)
            functional.cross_entropy(network(leaf), truth, reduction="sum").backward()

    return work


def _seconds(work: Callable[[], None], device: torch.device) -> float:
    work()
    walls = []
    for _ in range(_REPEATS):
        walls.append(timed(work, device)[0])
    return statistics.median(walls)


def timed(work: Callable[[], T], device: torch.device) -> tuple[float, T]:
    """(seconds, what came out): between two CUDA events on a GPU, else of the clock."""
    wait(device)
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        result = work()
        end.record()
        wait(device)
        return start.elapsed_time(end) / 1e3, result
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
