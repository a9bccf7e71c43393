"""Victims that cannot be compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from robench.scoring.images import Verdicts, verdicts
from robench.scoring.paired import compare_pairs, mcnemar, paired_difference

Make = Callable[..., Any]


def held(*names: str) -> Verdicts:
    return Verdicts(np.array(names, dtype=object), np.ones(len(names), dtype=bool))


def test_different_images() -> None:
    with pytest.raises(
        ValueError,
        match="different images: 'a' and 'b'; 1 only in the first, 2 only in the second",
    ):
        compare_pairs({"a": held("x", "y"), "b": held("x", "z", "w")})


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_victims(count: int) -> None:
    with pytest.raises(ValueError, match=f"at least two victims, got {count}"):
        compare_pairs({f"v{place}": held("x") for place in range(count)})


@pytest.mark.parametrize("alpha", [0.0, 1.0, 5])
def test_impossible_alpha(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha must be between 0 and 1"):
        compare_pairs({"a": held("x"), "b": held("x")}, alpha=alpha)


@pytest.mark.parametrize(
    ("b", "c", "message"),
    [([-1], [2], "negative"), ([1, 2], [2], "one b for each c"), ([[1]], [[2]], "one b for each")],
)
def test_impossible_counts(b: Any, c: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mcnemar(b, c)


@pytest.mark.parametrize("name", ["image_id", "clean_correct", "success"])
def test_missing_column(make_cell: Make, name: str) -> None:
    frame = make_cell([True], [False])[1].drop(columns=name)
    with pytest.raises(ValueError, match=f"outcome table without the column '{name}'"):
        verdicts(frame)


def test_image_twice_or_none(make_cell: Make) -> None:
    with pytest.raises(ValueError, match="image_id stands twice"):
        verdicts(make_cell([True, True], [False, False], image_ids=["a", "a"])[1])
    with pytest.raises(ValueError, match="outcome table without images"):
        verdicts(make_cell([], [])[1])


@pytest.mark.parametrize("counts", [(0, 0, 0), (-1, 0, 9), (5, 5, 9)])
def test_a_paired_difference_refuses_counts_that_do_not_fit(counts):
    with pytest.raises(ValueError, match="counts of n images"):
        paired_difference(*counts)
