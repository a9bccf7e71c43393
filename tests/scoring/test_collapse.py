"""The change-point over sparsity: found where there is one, and not where there is none."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.scoring.collapse import collapse_point

SPARSITIES = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9)


def right(rates: list[float], n: int = 400, seed: int = 0) -> np.ndarray:
    """Images of unequal hardness, each right where it is easier than the rate."""
    hardness = np.random.default_rng(seed).random(n)
    return np.stack([hardness < rate for rate in rates])


def test_a_collapse_is_found() -> None:
    held = collapse_point(SPARSITIES, right([0.9, 0.9, 0.88, 0.87, 0.4, 0.3]))
    assert held.seen
    assert (held.before, held.after, held.low, held.high) == (0.7, 0.8, 0.7, 0.8)
    assert held.fall_low < held.fall < held.fall_high
    assert 0.45 < held.fall < 0.6
    assert held.reason.startswith("accuracy falls by 0.5")


@pytest.mark.parametrize(
    ("rates", "reason"),
    [
        ([0.9, 0.9, 0.89, 0.9, 0.88, 0.86], "not surely 0.1 or more"),
        ([0.9, 0.75, 0.65, 0.55, 0.5, 0.45], "steady decline"),
        ([0.3, 0.3, 0.3, 0.6, 0.6, 0.6], "not surely 0.1 or more"),
    ],
)
def test_no_collapse_is_said_so(rates: list[float], reason: str) -> None:
    held = collapse_point(SPARSITIES, right(rates))
    assert not held.seen
    assert held.reason.startswith("no collapse seen")
    assert reason in held.reason


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_place_is_that_of_least_squares(data: st.DataObject) -> None:
    count = data.draw(st.integers(3, 7))
    counts = data.draw(st.lists(st.integers(0, 30), min_size=count, max_size=count))
    s = np.cumsum(data.draw(st.lists(st.integers(1, 5), min_size=count, max_size=count))) / 40
    table = np.stack([np.arange(30) < kept for kept in counts])
    held = collapse_point(s, table, resamples=100)
    accuracy = np.array(counts) / 30

    def error(cut: int) -> float:
        parts = (accuracy[:cut], accuracy[cut:])
        return sum(float(((part - part.mean()) ** 2).sum()) for part in parts)

    cut = list(s).index(held.after)
    assert error(cut) == pytest.approx(min(error(k) for k in range(1, count)), abs=1e-12)
    assert held.before == s[cut - 1]
    assert held.fall == pytest.approx(accuracy[:cut].mean() - accuracy[cut:].mean())
    assert held.low < held.high
    assert held.low in s
    assert held.high in s
    if held.seen:
        line = np.polyval(np.polyfit(s, accuracy, 1), s)
        assert error(cut) < ((accuracy - line) ** 2).sum()
        assert held.fall_low >= 0.1


def test_a_fall_of_one_patient_is_not_sure() -> None:
    table = right([0.9, 0.9, 0.9, 0.9, 0.9, 0.9], n=300)
    patients = np.arange(300) % 3
    table[4:, patients == 0] = False
    assert collapse_point(SPARSITIES, table).seen
    held = collapse_point(SPARSITIES, table, groups=patients)
    assert not held.seen
    assert held.fall_low == 0


def test_an_unsure_place_has_a_wide_interval() -> None:
    """Two equal falls on 60 images: each resample chooses its own."""
    held = collapse_point(SPARSITIES, right([0.9, 0.9, 0.6, 0.6, 0.3, 0.3], n=60, seed=3))
    assert held.low < held.before or held.high > held.after
    assert any(held.low == low and held.high >= high for low, high in pairwise(SPARSITIES))


@pytest.mark.parametrize(
    ("sparsities", "table", "settings", "message"),
    [
        ([0, 0.5], np.ones((2, 3)), {}, "at least three sparsities, got 2"),
        ([0, 0.5, 0.5], np.ones((3, 3)), {}, "must ascend"),
        ([0, 0.5, 0.7], np.ones((2, 3)), {}, "one row for each of 3 sparsities"),
        ([0, 0.5, 0.7], np.ones((3, 0)), {}, "no image"),
        ([0, 0.5, 0.7], np.ones((3, 2)), {"least_fall": 0}, "least_fall must be above 0"),
    ],
)
def test_refuses(
    sparsities: list[float], table: np.ndarray, settings: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        collapse_point(sparsities, table, **settings)  # type: ignore[arg-type]
