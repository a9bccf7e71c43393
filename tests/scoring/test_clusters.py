"""Rates of grouped images against statsmodels' cluster-robust variance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.regression.linear_model import OLS

from robench.scoring.clusters import clustered_rate
from robench.scoring.wilson import wilson


@settings(max_examples=40, deadline=None)
@given(data=st.data(), n=st.integers(3, 40))
def test_variance_agrees_with_statsmodels(data: st.DataObject, n: int) -> None:
    values = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    groups = data.draw(st.lists(st.integers(0, 7), min_size=n, max_size=n))
    groups[:2] = [0, 1]
    held = clustered_rate(values, [f"patient-{group}" for group in groups])
    fitted = OLS(np.array(values, dtype=float), np.ones(n)).fit(
        cov_type="cluster", cov_kwds={"groups": np.array(groups), "use_correction": False}
    )
    assert held.variance == pytest.approx(float(fitted.cov_params()[0, 0]), abs=1e-14)
    assert held.rate == pytest.approx(float(fitted.params[0]))
    assert held.low <= held.rate <= held.high
    assert held.n_groups == len(set(groups))
    order = data.draw(st.permutations(range(n)))
    moved = clustered_rate([values[k] for k in order], [groups[k] for k in order])
    assert moved.variance == pytest.approx(held.variance, abs=1e-14)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), min_size=2, max_size=60))
def test_images_that_are_their_own_groups_are_a_plain_rate(values: list[bool]) -> None:
    n, p = len(values), sum(values) / len(values)
    held = clustered_rate(values, range(n))
    assert held.variance == pytest.approx(p * (1 - p) / n)
    assert (held.low, held.high) == pytest.approx(wilson(sum(values), n), abs=1e-12)
    if 0 < p < 1:
        assert held.design_effect == pytest.approx(1)


def test_equal_images_of_a_patient_count_once() -> None:
    patients = np.arange(40) % 4 == 0
    held = clustered_rate(np.repeat(patients, 9), np.repeat(np.arange(40), 9))
    assert held.design_effect == pytest.approx(9)
    assert (held.low, held.high) == pytest.approx(wilson(10, 40))


def test_all_alike_shows_no_more_than_the_patients() -> None:
    held = clustered_rate([True] * 100, np.arange(100) % 5)
    assert held.variance == 0
    assert math.isnan(held.design_effect)
    assert (held.low, held.high) == wilson(5, 5)


def test_images_of_a_patient_that_balance_gain_nothing() -> None:
    held = clustered_rate([True, False] * 10, np.repeat(np.arange(10), 2))
    assert (held.variance, held.design_effect) == (0, 0)
    assert (held.low, held.high) == pytest.approx(wilson(10, 20))


@pytest.mark.parametrize(
    ("values", "groups", "settings", "message"),
    [
        ([], [], {}, "no image"),
        ([1], ["a", "b"], {}, "one group for each value"),
        ([1, 0], ["", ""], {}, "one group only"),
        ([1, 2], ["a", "b"], {}, "must be 0 or 1"),
        ([1, math.nan], ["a", "b"], {}, "must be 0 or 1"),
        ([1, 0], ["a", "b"], {"confidence": 95}, "confidence must be between 0 and 1"),
    ],
)
def test_refuses(
    values: list[float], groups: list[str], settings: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        clustered_rate(values, groups, **settings)
