"""The Wilson interval against two other implementations."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.proportion import proportion_confint

from robench.scoring.wilson import wilson

COUNTS = [(0, 1), (1, 1), (0, 500), (500, 500), (1, 500), (37, 131), (9_999, 10_000), (5, 10)]


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize(("successes", "n"), COUNTS)
def test_agrees_with_statsmodels_and_scipy(successes: int, n: int, confidence: float) -> None:
    low, high = wilson(successes, n, confidence)
    other = proportion_confint(successes, n, alpha=1 - confidence, method="wilson")
    assert (low, high) == pytest.approx(tuple(other), abs=1e-12)
    third = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert (low, high) == pytest.approx((third.low, third.high), abs=1e-12)


@given(st.data(), st.integers(1, 10**9), st.floats(0.01, 0.9999))
def test_holds_the_rate_and_mirrors(data: st.DataObject, n: int, confidence: float) -> None:
    successes = data.draw(st.integers(0, n))
    low, high = wilson(successes, n, confidence)
    assert 0 <= low <= successes / n <= high <= 1
    assert low < high
    mirrored = wilson(n - successes, n, confidence)
    assert (1 - high, 1 - low) == pytest.approx(mirrored, abs=1e-12)


@given(st.integers(1, 10**6))
def test_ends_are_exact(n: int) -> None:
    assert wilson(0, n)[0] == 0.0
    assert wilson(n, n)[1] == 1.0


def test_nothing_was_counted() -> None:
    low, high = wilson(0, 0)
    assert math.isnan(low)
    assert math.isnan(high)
