"""The paired bootstrap against scipy's, and what must hold of every resample."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from robench.scoring import bootstrap
from robench.scoring.bootstrap import percentile_interval, resampled_means


def test_interval_agrees_with_scipy() -> None:
    random = np.random.default_rng(7)
    one, other = random.random(300), random.random(300) ** 2
    means = resampled_means(np.stack([one, other]), resamples=20_000, seed=1)
    ours = percentile_interval(means[0] - means[1])
    theirs = stats.bootstrap(
        (one, other),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=20_000,
        batch=1000,
        method="percentile",
        random_state=np.random.default_rng(2),
    ).confidence_interval
    # Two percentiles of 20,000 draws: their own noise is about 1 % of the width.
    width = theirs.high - theirs.low
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.04 * width)


def test_moments_of_the_resampled_means() -> None:
    values = np.random.default_rng(3).random(50)
    means = resampled_means(values, resamples=20_000, seed=4)[0]
    assert means.mean() == pytest.approx(values.mean(), abs=4 * values.std() / 1000)
    assert means.std() == pytest.approx(values.std() / np.sqrt(50), rel=0.03)


def test_groups_are_drawn_whole() -> None:
    """Ten groups of eight equal images vary as ten images do, not as eighty."""
    each = np.arange(10) % 2
    values, groups = np.repeat(each, 8), np.repeat(np.arange(10), 8)
    means = resampled_means(values, groups=groups, resamples=5000, seed=5)
    assert means.std() == pytest.approx(np.sqrt(0.25 / 10), rel=0.05)
    alone = resampled_means(each, resamples=500, seed=6)
    assert np.array_equal(alone, resampled_means(each, groups=np.arange(10), resamples=500, seed=6))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=20), st.integers(0, 9))
def test_rows_share_their_draws(values: list[float], seed: int) -> None:
    row = np.array(values)
    means = resampled_means(np.stack([row, 2 * row + 1, np.ones(len(row))]), resamples=100,
                            seed=seed)
    assert means[1] == pytest.approx(2 * means[0] + 1)
    assert (means[2] == 1).all()
    alone = resampled_means(row, resamples=100, seed=seed)[0]
    assert means[0] == pytest.approx(alone, abs=1e-12)
    assert (means[0] >= row.min() - 1e-12).all()
    assert (means[0] <= row.max() + 1e-12).all()


def test_drawing_in_parts_is_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "_AT_ONCE", 70)
    means = resampled_means(np.arange(10), resamples=103)
    assert means.shape == (1, 103)
    assert len(set(means[0])) > 20


@pytest.mark.parametrize(
    ("values", "settings", "message"),
    [
        ([], {}, "no image"),
        ([1.0, np.nan], {}, "NaN"),
        ([1.0], {"resamples": 99}, "at least 100, got 99"),
        ([1.0, 2.0], {"groups": ["a", "a"]}, "one group only"),
        ([1.0, 2.0], {"groups": ["a"]}, "one group for each image"),
    ],
)
def test_refuses(values: list[float], settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resampled_means(values, **settings)  # type: ignore[arg-type]


def test_refuses_impossible_confidence() -> None:
    with pytest.raises(ValueError, match="confidence"):
        percentile_interval(np.ones(3), 95)
