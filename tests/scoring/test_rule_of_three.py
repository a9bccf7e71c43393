"""The rule of three beside the exact bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from robench.scoring.rule_of_three import rule_of_three


@given(st.integers(1, 10**6))
def test_is_never_below_the_exact_bound(n: int) -> None:
    assert 1 - 0.05 ** (1 / n) <= rule_of_three(n) <= 1


@pytest.mark.parametrize("n", [100, 624, 10_000])
def test_is_near_the_exact_bound(n: int) -> None:
    exact = proportion_confint(0, n, alpha=0.1, method="beta")[1]
    assert rule_of_three(n) == pytest.approx(exact, rel=0.02)
