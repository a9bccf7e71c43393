"""Security curves, their area against integration, and intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid

from robench.scoring.curves import area, area_difference, curve, robust_accuracy
from robench.scoring.distances import (
    Distances,
    ladder_distances,
    measured_distances,
    same_victim,
    smallest_distances,
)

Make = Callable[..., Any]
DISTANCE = st.one_of(st.just(0.0), st.just(math.inf), st.integers(1, 40).map(lambda k: k / 16))


def exact(values: list[float]) -> Distances:
    d = np.array(values)
    ids = np.array([f"image-{place:03}" for place in range(len(d))], dtype=object)
    return Distances(ids, ids, d > 0, d, d)


def ladder(make_cell: Make, right: list[bool], broken: dict[float, list[bool]]) -> Distances:
    return ladder_distances((epsilon, make_cell(right, hit)[1]) for epsilon, hit in broken.items())


def test_ladder_by_hand(make_cell: Make) -> None:
    found = ladder(
        make_cell,
        [True, True, True, False],
        {0.3: [True, True, False, False], 0.1: [True, False, False, False]},
    )
    assert found.low.tolist() == [0.0, 0.1, 0.3, 0.0]
    assert found.high.tolist() == [0.1, 0.3, math.inf, 0.0]
    assert found.correct.tolist() == [True, True, True, False]
    assert [robust_accuracy(found, epsilon) for epsilon in (0.0, 0.05, 0.1, 0.2, 0.3)] == [
        (0.75, 0.75), (0.5, 0.75), (0.5, 0.5), (0.25, 0.5), (0.25, 0.25),
    ]
    assert robust_accuracy(found, 0.31) == (0.0, 0.25)
    held = area(found, up_to=0.4)
    assert held.lower == pytest.approx((0 + 0.1 + 0.3) / 4)
    assert held.upper == pytest.approx((0.1 + 0.3 + 0.4) / 4)
    assert held.low <= held.lower <= held.upper <= held.high


def test_an_image_that_breaks_only_at_the_smaller_epsilon_stays_broken(make_cell: Make) -> None:
    found = ladder(make_cell, [True], {0.1: [False], 0.2: [True], 0.3: [False]})
    assert (found.low.tolist(), found.high.tolist()) == ([0.1], [0.2])


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_ladder_gives_each_cell_its_robust_accuracy(make_cell: Make, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 12))
    epsilons = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4, unique=True))
    right = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    first = data.draw(st.lists(st.integers(1, 11), min_size=n, max_size=n))
    cells = []
    for epsilon in epsilons:
        order = data.draw(st.permutations(range(n)))
        frame = make_cell(right, [at <= epsilon for at in first])[1]
        cells.append((float(epsilon), frame.iloc[list(order)]))
    found = ladder_distances(cells)
    for epsilon, frame in cells:
        expected = (frame["clean_correct"] & ~frame["success"]).mean()
        assert robust_accuracy(found, epsilon) == (expected, expected)
    known = dict(zip(found.image_ids, zip(found.low, found.high, strict=True), strict=True))
    for place in range(n):
        low, high = known[f"image-{place}"]
        assert (low, high) == (0, 0) if not right[place] else low < first[place]
        if right[place]:
            assert first[place] <= high


def test_measured_distances(make_cell: Make) -> None:
    frame = make_cell([True, True, False], [True, False, False], distance=[0.5, 0.0, 0.0])[1]
    found = measured_distances(frame, norm="l2")
    assert found.high.tolist() == found.low.tolist() == [5.0, math.inf, 0.0]


@settings(max_examples=60, deadline=None)
@given(st.lists(DISTANCE, min_size=1, max_size=25), st.integers(1, 48).map(lambda k: k / 16))
def test_area_is_the_integral_of_the_curve(values: list[float], up_to: float) -> None:
    found = exact(values)
    held = area(found, up_to=up_to, resamples=100)
    # Distances lie on sixteenths, so the curve is constant between them.
    middles = (np.arange(round(up_to * 16)) + 0.5) / 16
    steps = [robust_accuracy(found, float(middle)) for middle in middles]
    assert all(low == high for low, high in steps)
    integral = sum(low for low, _ in steps) / 16
    assert held.lower == held.upper == pytest.approx(integral)
    points = [point for point in curve(found) if point[0] < up_to]
    x = [at for epsilon, _ in [*points[1:], (up_to, 0)] for at in (epsilon, epsilon)]
    y = [rate for _, rate in points for _ in (0, 1)]
    assert trapezoid(y, [0, *x[:-1]]) == pytest.approx(held.upper)
    assert curve(found)[0] == (0.0, sum(value > 0 for value in values) / len(values))


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_order_of_images_changes_nothing(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 12))
    lists = st.lists(DISTANCE, min_size=n, max_size=n)
    one, other = exact(data.draw(lists)), exact(data.draw(lists))
    orders = [np.array(data.draw(st.permutations(range(n)))) for _ in "ab"]
    assert area(one, up_to=1.5, resamples=100) == area(one.at(orders[0]), up_to=1.5, resamples=100)
    plain = area_difference(one, other, up_to=1.5, resamples=100)
    moved = area_difference(one.at(orders[0]), other.at(orders[1]), up_to=1.5, resamples=100)
    assert plain == moved
    back = area_difference(other, one, up_to=1.5, resamples=100)
    assert back.difference == pytest.approx(-plain.difference)
    assert back.low == pytest.approx(-plain.high)


def test_paired_difference_is_narrower_than_unpaired() -> None:
    hard = np.random.default_rng(0).random(400)
    one, other = exact(list(hard + 0.05)), exact(list(hard))
    both = area_difference(one, other, up_to=2.0)
    assert both.difference == pytest.approx(0.05)
    assert both.lower == pytest.approx(0.05)
    assert both.high - both.low < 1e-9
    alone = area(one, up_to=2.0)
    assert alone.high - alone.low > 0.03


def test_images_of_one_patient_are_drawn_together() -> None:
    """Twenty patients with ten equal images each vary as twenty images do."""
    d = np.random.default_rng(4).random(20)
    single, copies = exact(list(d)), exact(list(np.repeat(d, 10)))
    patients = np.repeat(np.arange(20), 10).astype(str).astype(object)
    held = area(replace(copies, group_ids=patients), up_to=1)
    alone, naive = area(single, up_to=1), area(copies, up_to=1)
    assert held.upper == pytest.approx(alone.upper)
    assert held.high - held.low == pytest.approx(alone.high - alone.low, rel=0.1)
    assert naive.high - naive.low < 0.5 * (held.high - held.low)


def test_interval_of_the_area_covers_as_often_as_it_says() -> None:
    """True area of min(U, 1), U uniform on [0, 2], is 3/4; 200 samples of 100 images."""
    random = np.random.default_rng(11)
    covered = 0
    for seed in range(200):
        held = area(exact(list(2 * random.random(100))), up_to=1.0, resamples=400, seed=seed)
        covered += held.low <= 0.75 <= held.high
    # Binomial(200, 0.95): below 178 in 1 of 1,000 tries.
    assert covered >= 178


def test_bounds_of_a_difference_hold_the_difference(make_cell: Make) -> None:
    one = ladder(make_cell, [True] * 3, {0.1: [True, False, False], 0.2: [True, True, False]})
    other = ladder(make_cell, [True] * 3, {0.1: [True, True, False], 0.2: [True, True, False]})
    held = area_difference(one, other, up_to=0.2)
    assert held.difference == pytest.approx(0.1 / 3)
    assert held.lower == pytest.approx((0.1 + 0.2 - 0.1 - 0.1 - 0.2) / 3)
    assert held.upper == pytest.approx((0.1 + 0.2 + 0.2 - 0.2) / 3)


def test_smallest_over_attacks_and_wrong_in_one_is_wrong_in_all() -> None:
    attacks = {"a": exact([0.5, math.inf, 0.0]), "b": exact([0.25, 2.0, 3.0])}
    assert smallest_distances(attacks).high.tolist() == [0.25, 2.0, 0.0]
    assert same_victim(attacks)["b"].high.tolist() == [0.25, 2.0, 0.0]
