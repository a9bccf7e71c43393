"""Tiers and rank intervals, by hand and by what must always hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.scoring.images import Verdicts
from robench.scoring.paired import Pair, compare_pairs
from robench.scoring.tiers import standings


def victim(robust: int, n: int) -> Verdicts:
    """A victim that keeps the first `robust` of `n` images."""
    ids = np.array([f"image-{k:04}" for k in range(n)], dtype=object)
    return Verdicts(ids, np.arange(n) < robust)


def test_three_tiers_by_hand() -> None:
    counts = {"d": 100, "a": 400, "b": 399, "c": 250, "e": 99}
    victims = {name: victim(count, 500) for name, count in counts.items()}
    found = standings(victims, compare_pairs(victims))
    assert [(held.name, held.tier, held.rank, held.rank_low, held.rank_high) for held in found] == [
        ("a", 1, 1, 1, 2),
        ("b", 1, 2, 1, 2),
        ("c", 2, 3, 3, 3),
        ("d", 3, 4, 4, 5),
        ("e", 3, 5, 4, 5),
    ]
    assert (found[0].n_robust, found[0].n) == (400, 500)


def test_a_tier_is_closed_by_its_leader_alone() -> None:
    """a–b and b–c cannot be told apart, a–c can: c opens a tier, and its ranks reach b's."""
    counts = {"a": 100, "b": 96, "c": 92}
    victims = {name: victim(count, 200) for name, count in counts.items()}
    found = standings(victims, compare_pairs(victims))
    # Nested victims: p of 4 discordant is 0.125, of 8 discordant 0.0078, times 3 0.023.
    assert [held.tier for held in found] == [1, 1, 2]
    assert [(held.rank_low, held.rank_high) for held in found] == [(1, 2), (1, 3), (2, 3)]


def test_equal_rates_stay_in_one_tier() -> None:
    """Of two victims with equal rates one is surely worse than the leader, the other is not."""
    victims = {"a": victim(30, 60), "b": victim(20, 60), "c": victim(20, 60)}
    pairs = (
        Pair("a", "b", 20, 10, p=0.1, p_holm=0.2, significant=False),
        Pair("a", "c", 10, 0, p=0.002, p_holm=0.006, significant=True),
        Pair("b", "c", 10, 10, p=1.0, p_holm=1.0, significant=False),
    )
    found = standings(victims, pairs)
    assert [(held.name, held.rank, held.tier) for held in found] == [
        ("a", 1, 1),
        ("b", 2, 2),
        ("c", 2, 2),
    ]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), alpha=st.sampled_from([0.05, 0.3, 0.9]))
def test_what_always_holds(data: st.DataObject, alpha: float) -> None:
    n, count = data.draw(st.integers(5, 40)), data.draw(st.integers(2, 6))
    ids = np.array([f"image-{k}" for k in range(n)], dtype=object)
    victims = {
        f"v{place}": Verdicts(
            ids, np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
        )
        for place in range(count)
    }
    pairs = compare_pairs(victims, alpha=alpha)
    found = standings(victims, pairs)
    assert {held.name for held in found} == set(victims)
    better = {(p.better, p.other if p.better == p.one else p.one) for p in pairs if p.better}
    tiers = [held.tier for held in found]
    assert tiers == sorted(tiers)
    assert set(tiers) == set(range(1, max(tiers) + 1))
    for held in found:
        assert held.rank_low <= held.rank <= held.rank_high
        assert held.rank == 1 + sum(other.n_robust > held.n_robust for other in found)
        assert held.rank_low == 1 + sum((other, held.name) in better for other in victims)
        assert held.rank_high == count - sum((held.name, other) in better for other in victims)
    # Images in another order, and victims in another order, change nothing.
    order = data.draw(st.permutations(range(n)))
    moved = {
        name: Verdicts(held.image_ids[order], held.robust[order])
        for name, held in reversed(victims.items())
    }
    assert standings(moved, compare_pairs(moved, alpha=alpha)) == found


def test_victims_that_are_all_alike_are_one_tier() -> None:
    victims = {name: victim(5, 10) for name in "abc"}
    found = standings(victims, compare_pairs(victims))
    assert {(held.tier, held.rank, held.rank_low, held.rank_high) for held in found} == {
        (1, 1, 1, 3)
    }


@pytest.mark.parametrize("drop", [1, 3])
def test_refuses_pairs_of_other_victims(drop: int) -> None:
    victims = {name: victim(5, 10) for name in "abc"}
    with pytest.raises(ValueError, match="pairs of other victims: expected 3"):
        standings(victims, compare_pairs(victims)[drop:])
