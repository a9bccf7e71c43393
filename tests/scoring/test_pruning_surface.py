"""Surfaces over sparsity: retention, and networks compared at equal clean accuracy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from robench.scoring.pruning_surface import (
    Slice,
    compare_at_clean_accuracy,
    retention,
    slice_at,
    surface_points,
)
from robench.scoring.wilson import wilson

Make = Callable[..., Any]


def counted(clean: Sequence[int], robust: Sequence[int], n: int = 100) -> Slice:
    """Sparsities 0, 0.1, … that keep the first so many of `n` images right, and robust."""
    ids = np.array([f"image-{k:04}" for k in range(n)], dtype=object)
    place = np.arange(n)
    return Slice(
        0.1,
        tuple(k / 10 for k in range(len(clean))),
        ids,
        ids,
        np.stack([place < count for count in clean]),
        np.stack([place < count for count in robust]),
    )


def test_slice_matches_images_and_sorts_sparsities(make_cell: Make) -> None:
    ids = ["a", "b", "c"]
    cells = [
        (0.7, make_cell([True, False, True], [True, False, False], image_ids=ids[::-1])[1]),
        (0.0, make_cell([True, True, False], [False, True, False], image_ids=ids)[1]),
    ]
    held = slice_at(0.1, cells)
    assert (held.sparsities, held.image_ids.tolist()) == ((0.0, 0.7), ids)
    assert held.clean.tolist() == [[True, True, False], [True, False, True]]
    assert held.robust.tolist() == [[True, False, False], [True, False, False]]
    dense, pruned = surface_points([held])
    assert (dense.sparsity, dense.clean_accuracy, dense.robust_accuracy) == (0.0, 2 / 3, 1 / 3)
    assert (pruned.low, pruned.high) == wilson(1, 3)


def test_retention_agrees_with_scipys_bootstrap() -> None:
    random = np.random.default_rng(2)
    hardness = random.random(400)
    robust = np.stack([hardness < 0.6, hardness + 0.1 * random.random(400) < 0.45])
    ids = np.array([f"image-{k:04}" for k in range(400)], dtype=object)
    (found,) = retention(Slice(0.1, (0.0, 0.5), ids, ids, robust, robust), resamples=10_000)
    assert found.retention == robust[1].mean() / robust[0].mean()
    theirs = stats.bootstrap(
        (robust[1].astype(float), robust[0].astype(float)),
        lambda a, b, axis: a.mean(axis=axis) / b.mean(axis=axis),
        paired=True, vectorized=True, n_resamples=10_000, batch=500, method="percentile",
        random_state=np.random.default_rng(3),
    ).confidence_interval
    width = theirs.high - theirs.low
    assert (found.low, found.high) == pytest.approx(tuple(theirs), abs=0.05 * width)


def test_retention_without_anything_to_retain() -> None:
    (nothing,) = retention(counted([50, 50], [0, 3]))
    assert all(math.isnan(value) for value in (nothing.retention, nothing.low, nothing.high))
    # One robust image is in 63 % of the resamples: a ratio, and no interval.
    (hardly,) = retention(counted([50, 50], [1, 3]))
    assert hardly.retention == 3
    assert math.isnan(hardly.low)


def test_images_of_one_patient_are_drawn_together(make_cell: Make) -> None:
    right, broken = [True] * 60, [[False] * 60, [k % 3 == 0 for k in range(60)]]
    frames = [make_cell(right, each)[1] for each in broken]
    alone = slice_at(0.1, enumerate(frames))
    patients = [frame.assign(group_id=[f"p{k % 3}" for k in range(60)]) for frame in frames]
    together = slice_at(0.1, enumerate(patients))
    (narrow,), (wide,) = retention(alone), retention(together)
    assert narrow.retention == wide.retention == pytest.approx(2 / 3)
    assert (wide.low, wide.high) == (0, 1)
    assert narrow.high - narrow.low < 0.3


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(30, 60), min_size=2, max_size=4))
def test_retention_holds_its_ratio(robust: list[int]) -> None:
    for found, count in zip(retention(counted(robust, robust)), robust[1:], strict=True):
        assert found.retention == pytest.approx(count / robust[0])
        assert found.low <= found.retention <= found.high


def test_equal_clean_accuracy_by_hand() -> None:
    """At clean accuracy 0.8: halfway between 90 and 70 for the one, at its end for the other."""
    one = counted([90, 70], [60, 50], n=100)
    other = counted([95, 85, 80], [55, 45, 40], n=100)
    held = compare_at_clean_accuracy(one, other, clean_accuracy=0.8)
    assert (held.one, held.other) == (pytest.approx(0.55), pytest.approx(0.40))
    assert held.difference == pytest.approx(0.15)
    assert math.isnan(held.low)  # Half of the resamples of `other` do not go down to 0.8.
    inside = compare_at_clean_accuracy(one, counted([95, 60], [55, 20]), clean_accuracy=0.8)
    assert inside.low <= inside.difference <= inside.high


def test_the_largest_sparsity_that_meets_it_counts() -> None:
    one = counted([80, 90, 70], [10, 60, 40])
    held = compare_at_clean_accuracy(one, one, clean_accuracy=0.8)
    assert held.one == pytest.approx(0.5)
    assert (held.difference, held.low, held.high) == (0, 0, 0)
    flat = counted([90, 80, 80, 70], [60, 50, 45, 20])
    assert compare_at_clean_accuracy(flat, flat, clean_accuracy=0.8).one == pytest.approx(0.45)


def test_refuses(make_cell: Make) -> None:
    cell = make_cell([True], [False])[1]
    with pytest.raises(ValueError, match="no cell"):
        slice_at(0.1, [])
    with pytest.raises(ValueError, match="a sparsity stands twice"):
        slice_at(0.1, [(0.5, cell), (0.5, cell)])
    with pytest.raises(ValueError, match="from 0 to 1"):
        slice_at(0.1, [(70.0, cell)])
    with pytest.raises(ValueError, match=r"different images: 'sparsity 0' and 'sparsity 0\.5'"):
        slice_at(0.1, [(0, cell), (0.5, make_cell([True, True], [False, False])[1])])
    with pytest.raises(ValueError, match="at least two sparsities"):
        retention(counted([5], [5]))
    one = counted([90, 70], [60, 50])
    with pytest.raises(ValueError, match=r"'one' does not have .* 0\.95 .* from 0\.7 to 0\.9"):
        compare_at_clean_accuracy(one, one, clean_accuracy=0.95)
    with pytest.raises(ValueError, match="different images"):
        compare_at_clean_accuracy(one, counted([40], [30], n=50), clean_accuracy=0.8)
    elsewhere = replace(one, epsilon=0.2)
    with pytest.raises(ValueError, match=r"different epsilons: 0\.1 and 0\.2"):
        compare_at_clean_accuracy(one, elsewhere, clean_accuracy=0.8)
