"""Exact tests against scipy."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, fisher_exact

from robench.audit.exact import (
    binomial_tail,
    fisher,
    fisher_greater,
    pairs_needed,
    sign_test,
)

TABLES = [(0, 5, 0, 7), (5, 5, 0, 7), (3, 10, 8, 12), (965, 968, 957, 968), (641, 879, 812, 1114),
          (0, 624, 9, 624), (100, 100, 100, 100)]


@pytest.mark.parametrize("table", TABLES)
def test_fisher_agrees_with_scipy(table: tuple[int, int, int, int]) -> None:
    a, n, b, m = table
    square = [[a, n - a], [b, m - b]]
    assert fisher(*table) == pytest.approx(fisher_exact(square).pvalue, rel=1e-6, abs=1e-14)
    one_sided = fisher_exact(square, alternative="greater").pvalue
    assert fisher_greater(*table) == pytest.approx(one_sided, rel=1e-6, abs=1e-14)


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(1, 60), st.integers(1, 60))
def test_fisher_of_any_table(data: st.DataObject, n: int, m: int) -> None:
    a, b = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    square = [[a, n - a], [b, m - b]]
    assert fisher(a, n, b, m) == pytest.approx(fisher_exact(square).pvalue, rel=1e-6, abs=1e-12)
    assert fisher(a, n, b, m) == pytest.approx(fisher(b, m, a, n), rel=1e-9)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 400), st.integers(1, 400), st.floats(0.001, 0.999))
def test_tail_of_the_binomial(successes: int, n: int, p: float) -> None:
    assert binomial_tail(successes, n, p) == pytest.approx(
        binom.sf(successes - 1, n, p), rel=1e-7, abs=1e-13)


@pytest.mark.parametrize(("p", "expected"), [(0.0, 0.0), (1.0, 1.0)])
def test_tail_of_what_is_sure(p: float, expected: float) -> None:
    assert binomial_tail(1, 9, p) == expected
    assert binomial_tail(0, 9, p) == 1.0


@pytest.mark.parametrize(("more", "less"), [(0, 0), (5, 0), (7, 3), (60, 41)])
def test_sign_test_is_the_binomial_test(more: int, less: int) -> None:
    n = more + less
    expected = binomtest(more, n, 0.5, alternative="greater").pvalue if n else 1.0
    assert sign_test(more, less) == pytest.approx(expected)


@pytest.mark.parametrize("p", [0.5, 0.05, 0.0465, 0.0061, 0.0006, 1e-9])
def test_pairs_needed_is_the_least_number(p: float) -> None:
    pairs = pairs_needed(p)
    assert binomtest(pairs, pairs, 0.5).pvalue <= p
    assert pairs == 1 or binomtest(pairs - 1, pairs - 1, 0.5).pvalue > p
