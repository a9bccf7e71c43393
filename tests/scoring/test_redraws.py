import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robench.scoring.redraws import one_draw
from robench.scoring.wilson import wilson


def columns(wrong, correct=None):
    return {"draws_wrong": wrong, "clean_correct": [True] * len(wrong) if correct is None
            else correct}


def test_images_that_are_all_or_nothing_are_a_plain_rate():
    found = one_draw(columns([0] * 30 + [8] * 10), draws=8)
    low, high = wilson(30, 40)
    assert (found.accuracy, found.n, found.draws) == (0.75, 40, 8)
    assert found.low == pytest.approx(low, abs=5e-3)
    assert found.high == pytest.approx(high, abs=5e-3)


def test_what_is_wrong_when_clean_is_wrong():
    found = one_draw(columns([0, 0, 4, 2], [True, False, True, True]), draws=4)
    assert found.accuracy == pytest.approx((1 + 0 + 0 + 0.5) / 4)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60))
def test_the_interval_holds_the_rate_and_is_no_wider_than_one_draws(wrong):
    found = one_draw(columns(wrong), draws=6)
    assert 0 <= found.low <= found.accuracy <= found.high <= 1
    assert found.accuracy == pytest.approx(1 - np.mean(wrong) / 6)


def test_it_covers():
    """Of 300 samples from known shares, 95 % of the intervals hold the truth."""
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        chance = generator.beta(2, 1, size=120)
        found = one_draw(columns(generator.binomial(5, 1 - chance)), draws=5)
        held += found.low <= 2 / 3 <= found.high
    assert held / 300 == pytest.approx(0.95, abs=0.04)


def test_nothing_and_misfits():
    assert math.isnan(one_draw(columns([]), draws=3).accuracy)
    with pytest.raises(ValueError, match="draws_wrong: got 0 to 9, expected 0 to 3"):
        one_draw(columns([0, 9]), draws=3)
    with pytest.raises(ValueError, match="no column draws_wrong"):
        one_draw({"clean_correct": [True]}, draws=3)
