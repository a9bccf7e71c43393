"""The global random generators of torch, numpy and python: watched, and set aside."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch

from robench.testing.core import Violation

T = TypeVar("T")

# A seed that nobody sets by chance: setting it again would go unnoticed.
_UNUSUAL = 1_804_289_383


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The global generators seeded inside, as they were outside."""
    before = _states()
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.default_generator.set_state(before["torch"])
        np.random.set_state(before["numpy"])
        random.setstate(before["python"])


def unnoticed(make: Callable[[], T]) -> T:
    """What `make` gives, or the Violation that says which global generator it has moved."""
    with seeded(_UNUSUAL):
        before = _states()
        made = make()
        after = _states()
    moved = [name for name in before if not _same(before[name], after[name])]
    if moved:
        raise Violation(f"moved the global random state of {' and '.join(moved)}, "
                        "expected it as it was")
    return made


def _states() -> dict[str, Any]:
    return {"torch": torch.default_generator.get_state(),
            "numpy": np.random.get_state(),
            "python": random.getstate()}


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, tuple) and len(one) == len(other):
        return all(_same(left, right) for left, right in zip(one, other, strict=True))
    return bool(np.array_equal(one, other))
