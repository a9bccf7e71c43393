"""Optimality of attacks and sufficient ensembles, by hand, by brute force and by properties."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.scoring.distances import Distances
from robench.scoring.ensembles import optimality, smallest_ensemble
from robench.scoring.worst_case import Tally, tally, worse

Make = Callable[..., Any]
DISTANCE = st.one_of(st.just(math.inf), st.floats(0.001, 3))


def exact(values: list[float], correct: list[bool] | None = None) -> Distances:
    right = np.array([value > 0 for value in values] if correct is None else correct)
    d = np.where(right, values, 0.0)
    ids = np.array([f"i{k}" for k in range(len(d))], dtype=object)
    return Distances(ids, ids, right, d, d)


def tallied(make_cell: Make, attack: str, broken: list[bool], **settings: Any) -> Tally:
    right = settings.pop("right", [True] * len(broken))
    return tally(make_cell(right, broken, **settings)[1], attack=attack, norm="linf")


def test_optimality_by_hand() -> None:
    attacks = {"a": exact([0.1, math.inf, 0.0, 5]), "b": exact([0.3, 0.2, 0.0, math.inf])}
    found = {held.attack: held for held in optimality(attacks, up_to=1)}
    best, unbroken = 0.1 + 0.2 + 1, 3
    assert found["a"].area == pytest.approx((0.1 + 1 + 1) / 4)
    assert found["a"].optimality == pytest.approx(1 - (2.1 - best) / (unbroken - best))
    assert found["b"].optimality == pytest.approx(1 - (1.5 - best) / (unbroken - best))


@settings(max_examples=80, deadline=None)
@given(data=st.data(), up_to=st.floats(0.01, 4))
def test_optimality_is_between_0_and_1(data: st.DataObject, up_to: float) -> None:
    n, count = data.draw(st.integers(1, 10)), data.draw(st.integers(1, 4))
    right = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    values = st.lists(DISTANCE, min_size=n, max_size=n)
    attacks = {f"a{place}": exact(data.draw(values), right) for place in range(count)}
    found = optimality(attacks, up_to=up_to)
    everything = np.minimum.reduce([held.high for held in attacks.values()])
    if not (right & (everything < up_to)).any():
        assert all(math.isnan(held.optimality) for held in found)
        return
    assert all(0 <= held.optimality <= 1 for held in found)
    attacks["all"] = exact(list(everything), right)
    whole = {held.attack: held.optimality for held in optimality(attacks, up_to=up_to)}
    assert whole.pop("all") == 1
    assert whole == {held.attack: held.optimality for held in found}
    nothing = {**attacks, "none": exact([math.inf] * n, right)}
    assert optimality(nothing, up_to=up_to)[-1].optimality == 0


def test_ensemble_by_hand(make_cell: Make) -> None:
    """The attack that breaks most is dear: cheaper ones come first and leave it one image."""
    cells = [
        tallied(make_cell, "dear", [True, True, True, True, False], passes=1000),
        tallied(make_cell, "cheap", [True, True, False, False, False], passes=10),
        tallied(make_cell, "other", [False, True, True, False, False], passes=20),
        tallied(make_cell, "useless", [True, False, False, False, False], passes=90),
    ]
    found = smallest_ensemble(cells)
    assert [(step.attack, step.tried, step.newly_broken, step.n_robust) for step in found] == [
        ("cheap", 5, 2, 3),
        ("other", 3, 1, 2),
        ("dear", 2, 1, 1),
    ]
    # An image costs `passes` backwards, and as many forwards and its place more.
    assert [step.propagations for step in found] == [
        5 * 20 + 0 + 1 + 2 + 3 + 4,
        3 * 40 + 2 + 3 + 4,
        2 * 2000 + 3 + 4,
    ]


def test_each_step_is_the_best_of_those_left(make_cell: Make) -> None:
    random = np.random.default_rng(5)
    cells = [
        replace(
            tallied(make_cell, f"a{place}", list(random.random(40) < 0.3)),
            forwards=np.ceil(random.random(40) ** 8 * 1000),
        )
        for place in range(6)
    ]
    found = smallest_ensemble(cells)
    pool, left = {held.attacks[0]: held for held in cells}, np.ones(40, dtype=bool)
    assert len(found) >= 4
    for step in found:
        rates = {
            name: (held.broken & left).sum() / (held.forwards + held.backwards)[left].sum()
            for name, held in pool.items()
        }
        assert rates[step.attack] == max(rates.values())
        left &= ~pool.pop(step.attack).broken


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_ensemble_reaches_the_worst_case(make_cell: Make, data: st.DataObject) -> None:
    n, count = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 5))
    bools = st.lists(st.booleans(), min_size=n, max_size=n)
    right = data.draw(bools)
    cells = []
    for place in range(count):
        order = list(data.draw(st.permutations(range(n))))
        frame = make_cell(right, data.draw(bools), passes=data.draw(st.integers(0, 5)))[1]
        cells.append(tally(frame.iloc[order], attack=f"a{place}", norm="linf"))
    found = smallest_ensemble(cells)
    everything = reduce(worse, cells)
    n_robust = int((everything.correct & ~everything.broken).sum())
    assert all(step.newly_broken > 0 for step in found)
    assert len({step.attack for step in found}) == len(found)
    kept = sum(right)
    for step in found:
        assert step.tried == kept
        kept -= step.newly_broken
        assert step.n_robust == kept
    assert kept == n_robust
    assert smallest_ensemble(cells[::-1]) == found


def test_nothing_broken_needs_no_attack(make_cell: Make) -> None:
    assert smallest_ensemble([tallied(make_cell, "a", [False, False])]) == ()


@pytest.mark.parametrize("up_to", [0.0, math.inf, math.nan])
def test_refuses_an_area_without_an_end(up_to: float) -> None:
    with pytest.raises(ValueError, match="up_to must be positive and finite"):
        optimality({"a": exact([1.0])}, up_to=up_to)


def test_refuses_attacks_that_cannot_be_compared(make_cell: Make) -> None:
    with pytest.raises(ValueError, match="different images: 'a' and 'b'"):
        optimality({"a": exact([1.0]), "b": exact([1.0, 2.0])}, up_to=1)
    with pytest.raises(ValueError, match="no distances"):
        optimality({}, up_to=1)
    with pytest.raises(ValueError, match="no attack"):
        smallest_ensemble([])
    one = tallied(make_cell, "a", [True])
    with pytest.raises(ValueError, match="an attack stands twice: a"):
        smallest_ensemble([one, one])
    with pytest.raises(ValueError, match="different images: attacks a and b"):
        smallest_ensemble([one, tallied(make_cell, "b", [True, True])])
