"""Exact McNemar and Holm against scipy and statsmodels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests

from robench.scoring.images import Verdicts, verdicts
from robench.scoring.paired import compare_pairs, holm, mcnemar, paired_difference

Make = Callable[..., Any]

COUNTS = [(0, 0), (0, 1), (1, 0), (3, 3), (0, 12), (5, 19), (40, 61), (300, 401), (6000, 6400)]


@pytest.mark.parametrize(("b", "c"), COUNTS)
def test_mcnemar_agrees_with_scipy_and_statsmodels(b: int, c: int) -> None:
    p = mcnemar(np.array([b]), np.array([c]))[0]
    if b + c:
        assert p == pytest.approx(binomtest(b, b + c).pvalue, rel=1e-9)
    assert p == pytest.approx(statsmodels_mcnemar([[7, b], [c, 9]]).pvalue, rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=30))
def test_mcnemar_of_many_is_that_of_each(counts: list[tuple[int, int]]) -> None:
    b, c = np.array(counts).T
    expected = [binomtest(one, one + other).pvalue if one + other else 1 for one, other in counts]
    assert mcnemar(b, c) == pytest.approx(expected, rel=1e-10)
    assert mcnemar(c, b) == pytest.approx(expected, rel=1e-10)


def test_tails_too_small_for_a_float_are_zero_and_warn_not() -> None:
    assert mcnemar(np.array([0, 0]), np.array([100_000, 1074])).tolist() == [
        0.0,
        pytest.approx(2.0**-1073),
    ]


@pytest.mark.parametrize(
    "p", [[0.04], [0.01, 0.04, 0.03, 0.005], [0.5, 0.001, 0.5, 0.02], [1.0, 0.0, 0.9, 0.013, 0.012]]
)
def test_holm_agrees_with_statsmodels(p: list[float]) -> None:
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1], abs=1e-15)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 50).map(lambda k: k / 50), min_size=1, max_size=15))
def test_holm_is_its_definition(p: list[float]) -> None:
    """The largest (m − j)·p over the p-values that are no larger, j of them smaller in rank."""
    ranked = sorted(p)
    for raw, adjusted in zip(p, holm(p), strict=True):
        last = max(place for place, value in enumerate(ranked) if value <= raw)
        steps = [(len(p) - place) * ranked[place] for place in range(last + 1)]
        assert adjusted == pytest.approx(min(1, max(steps)))


def draw_victims(data: st.DataObject, *, most: int = 5) -> dict[str, Verdicts]:
    n, count = data.draw(st.integers(1, 30)), data.draw(st.integers(2, most))
    found = {}
    for place in range(count):
        order = data.draw(st.permutations(range(n)))
        robust = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
        ids = np.array([f"image-{k}" for k in order], dtype=object)
        found[f"victim-{place}"] = Verdicts(ids, np.array(robust))
    return found


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_pairs_are_counted_image_by_image(data: st.DataObject) -> None:
    victims = draw_victims(data)
    pairs = compare_pairs(victims, alpha=0.2)
    kept = {
        name: {i for i, robust in zip(held.image_ids, held.robust, strict=True) if robust}
        for name, held in victims.items()
    }
    assert len(pairs) == len(victims) * (len(victims) - 1) // 2
    for pair in pairs:
        assert pair.b == len(kept[pair.one] - kept[pair.other])
        assert pair.c == len(kept[pair.other] - kept[pair.one])
        assert pair.p <= pair.p_holm <= 1
        assert pair.significant == (pair.p_holm <= 0.2)
        if pair.better is not None:
            loser = {pair.one, pair.other} - {pair.better}
            assert len(kept[pair.better]) > len(kept[loser.pop()])


def test_verdicts_of_a_cell(make_cell: Make) -> None:
    frame = make_cell([True, True, False], [True, False, False], image_ids=["c", "a", "b"])[1]
    held = verdicts(frame)
    assert held.image_ids.tolist() == ["c", "a", "b"]
    assert held.robust.tolist() == [False, True, False]


@pytest.mark.parametrize(("b", "c", "n"), [(0, 0, 40), (12, 3, 60), (30, 30, 300), (5, 0, 25)])
def test_a_paired_difference_by_the_formula_of_its_paper(b, c, n):
    middle, low, high = paired_difference(b, c, n)
    first, second = (b + 1) / (n + 2), (c + 1) / (n + 2)
    spread = 1.959963984540054 * np.sqrt((first + second - (first - second) ** 2) / (n + 2))
    assert middle == (b - c) / n
    assert low == pytest.approx(first - second - spread)
    assert high == pytest.approx(first - second + spread)


def test_a_paired_difference_covers_the_truth():
    random = np.random.default_rng(0)
    only_one, only_other, n = 0.15, 0.05, 60
    drawn = random.multinomial(n, [only_one, only_other, 1 - only_one - only_other], size=4000)
    inside = 0
    for b, c, _ in drawn.tolist():
        _, low, high = paired_difference(b, c, n)
        inside += low <= only_one - only_other <= high
    assert 0.94 <= inside / len(drawn) <= 0.97
