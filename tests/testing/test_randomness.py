"""The suite watches the global random generators, and leaves its caller's alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from robench.testing.core import Violation
from robench.testing.randomness import seeded, unnoticed

DRAWS: dict[str, Callable[[], Any]] = {
    "torch": lambda: torch.rand(2).tolist(),
    "numpy": lambda: np.random.rand(2).tolist(),
    "python": random.random,
}
SEEDS: dict[str, Callable[[], Any]] = {
    "torch": lambda: torch.manual_seed(0),
    "numpy": lambda: np.random.seed(0),
    "python": lambda: random.seed(0),
}


@pytest.mark.parametrize("name", DRAWS)
def test_inside_the_seed_decides_and_outside_goes_on(name: str) -> None:
    with seeded(7):
        expected = [DRAWS[name]() for _ in range(2)]
        with seeded(3):
            inner = DRAWS[name]()
        third = DRAWS[name]()
    with seeded(7):
        assert [DRAWS[name]() for _ in range(2)] == expected
        assert DRAWS[name]() == third
    with seeded(3):
        assert DRAWS[name]() == inner
    assert inner != expected[0]


@pytest.mark.parametrize("name", DRAWS)
def test_the_state_comes_back_after_an_exception(name: str) -> None:
    with seeded(1):
        before = DRAWS[name]()
    with seeded(1):
        with pytest.raises(KeyError), seeded(2):
            raise KeyError
        assert DRAWS[name]() == before


@pytest.mark.parametrize("touch", [DRAWS, SEEDS])
@pytest.mark.parametrize("name", DRAWS)
def test_a_draw_or_a_seed_does_not_go_unnoticed(name: str, touch: Any) -> None:
    with pytest.raises(Violation, match=f"random state of {name}, expected it as it was"):
        unnoticed(touch[name])


def test_generators_of_ones_own_are_nobodys_business() -> None:
    def own() -> float:
        generator = torch.Generator().manual_seed(0)
        return float(torch.rand((), generator=generator)) + np.random.default_rng(0).random()

    assert unnoticed(own) == own()
