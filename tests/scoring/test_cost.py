"""Attacks by what they spend, and the front of those worth it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.scoring.cost import PRICES, CostPoint, cost_points, pareto_front
from robench.scoring.rows import leaderboard_rows

Make = Callable[..., Any]


def test_points_of_a_leaderboard(make_cell: Make) -> None:
    right = [True, True, False, True]
    cells = [
        make_cell(right, [True, False, False, False], attack="fgsm", passes=1, seconds=6.0),
        make_cell(right, [True, True, False, False], attack="pgd", passes=40, seconds=90.0),
    ]
    one, other = cost_points(leaderboard_rows(cells))
    assert one == CostPoint("fgsm", 0.5, forwards=(1 + 2 + 4) / 3, backwards=1.0, seconds=2.0)
    assert (other.attack, other.robust_accuracy, other.seconds) == ("pgd", 0.25, 30.0)
    assert other.propagations == other.forwards + 40


POINTS = st.lists(
    st.builds(CostPoint, st.just("a"), *[st.integers(0, 4).map(float) for _ in range(4)]),
    max_size=12,
)


@settings(max_examples=80, deadline=None)
@given(points=POINTS, price=st.sampled_from(PRICES))
def test_front_is_what_nothing_beats(points: list[CostPoint], price: Any) -> None:
    def cost(point: CostPoint) -> tuple[float, float]:
        return getattr(point, price), point.robust_accuracy

    def beaten(point: CostPoint) -> bool:
        return any(
            all(a <= b for a, b in zip(cost(other), cost(point), strict=True))
            and cost(other) != cost(point)
            for other in points
        )

    front = pareto_front(points, price=price)
    expected = [point for point in points if not beaten(point)]
    assert sorted(front, key=repr) == sorted(expected, key=repr)
    assert [cost(point)[0] for point in front] == sorted(cost(point)[0] for point in front)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epsilon": 0.2}, r"got several: epsilon 0\.1, 0\.2"),
        ({"model": "vgg"}, "got several: model resnet18, vgg"),
        ({"attack": "fgsm", "seed": 3}, "got several: seed 0, 3"),
    ],
)
def test_refuses_rows_of_several_victims(
    make_cell: Make, changes: dict[str, Any], message: str
) -> None:
    cells = [make_cell([True], [False]), make_cell([True], [False], **{"attack": "pgd", **changes})]
    with pytest.raises(ValueError, match=message):
        cost_points(leaderboard_rows(cells))


def test_refuses_what_has_no_cost(make_cell: Make) -> None:
    with pytest.raises(ValueError, match="no row of an attack"):
        cost_points([])
    with pytest.raises(ValueError, match="attack 'fgsm' had no image right before it"):
        cost_points(leaderboard_rows([make_cell([False], [False])]))
    rows = leaderboard_rows([make_cell([True], [False])])
    with pytest.raises(ValueError, match="an attack stands twice: fgsm"):
        cost_points([rows[0], rows[0]])
    with pytest.raises(ValueError, match=r"price must be one of forwards, .* got 'flops'"):
        pareto_front([], price="flops")  # type: ignore[arg-type]
