"""Cells that no curve can be drawn from."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from robench.scoring.curves import area, area_difference, curve, robust_accuracy
from robench.scoring.distances import (
    Distances,
    ladder_distances,
    measured_distances,
    smallest_distances,
)
from robench.scoring.rule_of_three import rule_of_three

Make = Callable[..., Any]


def distances(make_cell: Make, n: int = 2) -> Distances:
    return ladder_distances([(0.1, make_cell([True] * n, [False] * n)[1])])


@pytest.mark.parametrize(
    ("epsilons", "message"),
    [
        ([], "no cell"),
        ([0.1, 0.1], "an epsilon stands twice"),
        ([0.0, 0.1], "positive and finite"),
        ([math.inf], "positive and finite"),
    ],
)
def test_ladders(make_cell: Make, epsilons: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ladder_distances((epsilon, make_cell([True], [False])[1]) for epsilon in epsilons)


def test_ladder_on_different_images(make_cell: Make) -> None:
    cells = [(0.1, make_cell([True], [False], image_ids=["a"])[1]),
             (0.2, make_cell([True], [False], image_ids=["b"])[1])]
    with pytest.raises(ValueError, match=r"different images: 'epsilon 0\.1' and 'epsilon 0\.2'"):
        ladder_distances(cells)


def test_success_without_a_distance(make_cell: Make) -> None:
    frame = make_cell([True], [True])[1].assign(linf=math.nan)
    with pytest.raises(ValueError, match="success without a distance in linf"):
        measured_distances(frame, norm="linf")
    with pytest.raises(ValueError, match="norm must be one of linf, l2, l0, got 'l1'"):
        measured_distances(frame, norm="l1")
    with pytest.raises(ValueError, match="without the column 'l2'"):
        measured_distances(frame.drop(columns="l2"), norm="l2")


@pytest.mark.parametrize("up_to", [0.0, -1.0, math.inf, math.nan])
def test_area_without_an_end(make_cell: Make, up_to: float) -> None:
    held = distances(make_cell)
    with pytest.raises(ValueError, match="up_to must be positive and finite"):
        area(held, up_to=up_to)
    with pytest.raises(ValueError, match="up_to must be positive and finite"):
        area_difference(held, held, up_to=up_to)


def test_different_images(make_cell: Make) -> None:
    one, other = distances(make_cell), distances(make_cell, 3)
    with pytest.raises(ValueError, match="different images: 'one' and 'other'"):
        area_difference(one, other, up_to=1)
    with pytest.raises(ValueError, match="different images"):
        smallest_distances({"a": one, "b": other})
    with pytest.raises(ValueError, match="no distances"):
        smallest_distances({})


def test_no_image_and_negative_epsilon(make_cell: Make) -> None:
    nothing = distances(make_cell).at(np.arange(0))
    for refused in (lambda: area(nothing, up_to=1), lambda: curve(nothing),
                    lambda: robust_accuracy(nothing, 0.1)):
        with pytest.raises(ValueError, match="no image"):
            refused()
    for epsilon in (-0.1, math.nan):
        with pytest.raises(ValueError, match="must not be negative"):
            robust_accuracy(distances(make_cell), epsilon)


def test_rule_of_three_without_trials() -> None:
    with pytest.raises(ValueError, match="at least one trial, got n = 0"):
        rule_of_three(0)
