"""Cells that cannot stand in one leaderboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from robench.scoring.leaderboard import leaderboard

Make = Callable[..., Any]


def test_attacks_on_different_images(make_cell: Make) -> None:
    cells = [
        make_cell([True, True], [False, False], attack="fgsm", image_ids=["a", "b"]),
        make_cell([True, True], [False, False], attack="pgd", image_ids=["a", "b"]),
        make_cell([True] * 3, [False] * 3, attack="bim", image_ids=["c", "a", "d"]),
    ]
    with pytest.raises(ValueError, match="attacks fgsm, pgd and bim; 1 only in the first, 2 only"):
        leaderboard(cells)


def test_attacks_with_different_labels(make_cell: Make) -> None:
    one, other = make_cell([True], [False]), make_cell([True], [False], attack="pgd")
    other[1]["label"] = 2
    with pytest.raises(ValueError, match=r"different labels .* attacks fgsm and pgd"):
        leaderboard([one, other])


def test_image_that_stands_twice(make_cell: Make) -> None:
    cell = make_cell([True, True], [False, False], image_ids=["a", "a"])
    with pytest.raises(ValueError, match="attack 'fgsm': image_id stands twice"):
        leaderboard([cell])
