"""The arithmetic of a network's passes: float32, or less for gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import torch

from robench.errors import VictimError

Precision = Literal["float32", "tf32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

DOUBT: dict[Precision, float] = {"float32": 1e-4, "tf32": 0.01, "bfloat16": 0.05}
"""A verdict is left to the network itself, in float32, where the lead of the first class over the
second is below this share of the largest logit."""


@contextmanager
def arithmetic(device: torch.device, precision: Precision) -> Iterator[None]:
    """Passes inside compute in `precision`, whatever the caller's autocast and TF32 settings.

    Raises VictimError for tf32 on a device that is no CUDA GPU.
    """
    if precision == "tf32" and device.type != "cuda":
        raise VictimError("precision", got="tf32", expected="a CUDA GPU; here it is bfloat16")
    half = precision == "bfloat16"
    # Frozen weights are not cached, and with a cache a pass cannot be recorded.
    with torch.autocast(
        device.type, dtype=torch.bfloat16 if half else None, enabled=half, cache_enabled=False
    ):
        if device.type != "cuda":
            yield
            return
        convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
        before = convolutions.allow_tf32, products.allow_tf32
        try:
            convolutions.allow_tf32 = products.allow_tf32 = precision == "tf32"
            yield
        finally:
            convolutions.allow_tf32, products.allow_tf32 = before
