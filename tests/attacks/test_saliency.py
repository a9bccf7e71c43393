import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.attacks import saliency
from robench.attacks.saliency import best_pairs, best_pairs_of

from .brute_pairs import best_by_trying, score


def rows_of_features(numbers):
    return st.integers(1, 9).flatmap(lambda count: st.tuples(
        st.lists(numbers, min_size=count, max_size=count),
        st.lists(numbers, min_size=count, max_size=count),
        st.lists(st.integers(0, 3), min_size=count, max_size=count),
    ))


def check_against_brute_force(gain, relief, room, changes):
    """Each change is of a pair that scores as much as the best one of those with room."""
    pairs, times = best_pairs(
        torch.tensor([gain], dtype=torch.float32), torch.tensor([relief], dtype=torch.float32),
        torch.tensor([room]), changes=changes,
    )
    room, done = list(room), 0
    for (first, second), often in zip(pairs[0].tolist(), times[0].tolist(), strict=True):
        for _ in range(often):
            left = [place for place, free in enumerate(room) if free]
            assert first != second
            assert {first, second} <= set(left)
            assert score(gain, relief, first, second) == best_by_trying(gain, relief, left) > 0
            room[first] -= 1
            room[second] -= 1
            done += 1
    left = [place for place, free in enumerate(room) if free]
    assert done == changes or (done < changes and best_by_trying(gain, relief, left) == 0)


@settings(max_examples=150, deadline=None)
@given(rows_of_features(st.integers(-3, 3)), st.integers(1, 6))
def test_pairs_are_those_of_brute_force_with_ties(row, changes):
    check_against_brute_force(*row, changes)


@settings(max_examples=150, deadline=None)
@given(rows_of_features(st.floats(-1e3, 1e3, width=32)), st.integers(1, 4))
def test_pairs_are_those_of_brute_force(row, changes):
    check_against_brute_force(*row, changes)


@settings(max_examples=150, deadline=None)
@given(rows_of_features(st.integers(-3, 3)), st.integers(1, 6), st.integers(1, 12))
def test_without_reading_the_same_is_found_where_the_width_does(row, changes, width):
    gain, relief, room = (torch.tensor([each]) for each in row)
    gain, relief = gain.float(), relief.float()
    pairs, times, many = best_pairs_of(width, gain, relief, room, changes=changes)
    known, often = best_pairs(gain, relief, room, changes=changes)
    if bool(many):
        assert width < len(row[0])
        assert int(times.sum()) == 0
        return
    assert int(times.sum()) == int(often.sum())
    left = dict(enumerate(row[2]))
    for first, second in zip(_spelled(pairs, times), _spelled(known, often), strict=True):
        assert score(*row[:2], *first) == score(*row[:2], *second)
        left[first[0]] -= 1
        left[first[1]] -= 1
    assert min(left.values()) >= 0


def _spelled(pairs, times):
    return [pair for pair, often in zip(pairs[0].tolist(), times[0].tolist(), strict=True)
            for _ in range(often)]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30),
       st.integers(1, 6))
def test_entries_with_fewer_dominators(entries, most):
    gain, relief = torch.tensor(entries, dtype=torch.float32).T[:, None]
    order = gain.argsort(dim=1, descending=True, stable=True)
    kept = saliency._dominated_by_fewer(relief.gather(1, order), most)[0].tolist()
    told = saliency._hardly_dominated(gain, relief, most=most)[0]
    for rank, place in enumerate(order[0].tolist()):
        strictly = sum(g > gain[0, place] and r >= relief[0, place] for g, r in entries)
        before = sum(float(relief[0, other]) >= float(relief[0, place])
                     for other in order[0, :rank].tolist())
        assert kept[rank] == (before < most)
        assert bool(told[place]) or strictly + sum(
            g >= gain[0, place] and r > relief[0, place] for g, r in entries) >= most


@settings(max_examples=100, deadline=None)
@given(rows_of_features(st.floats(-1e3, 1e3, width=32)), st.integers(1, 4))
def test_disjoint_pairs_are_the_best_of_what_the_ones_before_leave(row, changes):
    gain, relief, room = row
    left = [place for place, free in enumerate(room) if free]
    tensors = (torch.tensor([gain], dtype=torch.float32),
               torch.tensor([relief], dtype=torch.float32), torch.tensor([room]))
    pairs, times = best_pairs(*tensors, changes=changes, disjoint=True)
    other = best_pairs_of(len(gain), *tensors, changes=changes, disjoint=True)
    assert torch.equal(other[1], times)
    assert set(times[0].tolist()) <= {0, 1}
    for first, second in _spelled(pairs, times):
        assert score(gain, relief, first, second) == best_by_trying(gain, relief, left) > 0
        left = [place for place in left if place not in (first, second)]
    taken = int(times.sum())
    assert taken == changes or best_by_trying(gain, relief, left) == 0


def test_a_width_that_is_too_small_is_told_row_by_row():
    angles = torch.linspace(0.1, 1.4, 40)  # on a circle nobody dominates anybody
    line = torch.linspace(0.1, 1.0, 40)  # on a line everybody does
    gain, relief = torch.stack([angles.cos(), line]), torch.stack([angles.sin(), line])
    room = torch.ones(2, 40, dtype=torch.int64)
    pairs, times, many = best_pairs_of(8, gain, relief, room)
    assert many.tolist() == [True, False]
    assert times.tolist() == [[0], [1]]
    assert pairs[0].tolist() == [[-1, -1]]
    assert sorted(pairs[1, 0].tolist()) == [38, 39]
    again = best_pairs_of(40, gain, relief, room)
    assert not bool(again[2].any())
    assert torch.equal(again[0], best_pairs(gain, relief, room)[0])


@pytest.mark.parametrize("table", [1, 7, 64, 2**20])
def test_the_size_of_a_block_does_not_matter(monkeypatch, table):
    """Nobody dominates anybody here, so all features are candidates."""
    angles = np.linspace(0.1, 1.4, 23)
    gain, relief = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    monkeypatch.setattr(saliency, "_TABLE", {"cpu": table})
    for changes in (1, 3):
        check_against_brute_force(gain.tolist(), relief.tolist(), [1] * 23, changes)


def test_a_row_does_not_depend_on_the_others():
    generator = torch.Generator().manual_seed(0)
    gain, relief = torch.randn(2, 6, 50, generator=generator)
    room = torch.randint(0, 4, (6, 50), generator=generator)
    pairs, times = best_pairs(gain, relief, room, changes=4)
    for row in range(6):
        alone, often = best_pairs(gain[[row]], relief[[row]], room[[row]], changes=4)
        taken = int((often > 0).sum())
        assert int(often.sum()) == int(times[row].sum()) == 4
        assert torch.equal(pairs[[row], :taken], alone[:, :taken])
        assert torch.equal(times[[row], :taken], often[:, :taken])


def test_of_equal_features_the_first_are_taken():
    ones = torch.ones(1, 6)
    pairs, times = best_pairs(ones, ones, torch.tensor([[0, 2, 2, 1, 1, 0]]), changes=3)
    assert pairs.tolist() == [[[1, 2], [3, 4], [-1, -1]]]
    assert times.tolist() == [[2, 1, 0]]


def test_products_that_vanish_in_float32_are_still_compared():
    tiny = torch.tensor([[1e-30, 2e-30, 3e-30]])
    pairs, _ = best_pairs(tiny, tiny, torch.ones(1, 3, dtype=torch.int64))
    assert sorted(pairs[0, 0].tolist()) == [1, 2]


def test_what_is_not_finite_is_never_in_a_pair():
    gain = torch.tensor([[float("nan"), float("inf"), 1.0, 2.0, 1.0]])
    relief = torch.tensor([[1.0, 1.0, 1.0, float("nan"), 1.0]])
    pairs, times = best_pairs(gain, relief, torch.ones(1, 5, dtype=torch.int64), changes=2)
    assert pairs[0].tolist() == [[2, 4], [-1, -1]]
    assert times[0].tolist() == [1, 0]


@pytest.mark.parametrize("features", [1, 5])
@pytest.mark.parametrize("changes", [1, 8])
def test_an_empty_domain_has_no_pair(features, changes):
    ones = torch.ones(2, features)
    pairs, times = best_pairs(
        ones, ones, torch.zeros(2, features, dtype=torch.int64), changes=changes
    )
    assert bool((pairs == -1).all())
    assert int(times.sum()) == 0


def test_pairs_of_a_colour_image_are_those_of_brute_force():
    generator = torch.Generator().manual_seed(0)
    gain, relief = torch.randn(2, 1, 2_000, generator=generator)
    relief = 0.6 * gain + 0.8 * relief  # as the gradients of a network lean
    allowed = torch.rand(1, 2_000, generator=generator) < 0.9
    ahead = (gain[0].double()[:, None] + gain[0].double())
    under = (relief[0].double()[:, None] + relief[0].double())
    open_ = allowed[0][:, None] & allowed[0] & (ahead > 0) & (under > 0)
    scores = torch.where(open_, ahead * under, 0.0).fill_diagonal_(0.0)
    for first, second in best_pairs(gain, relief, allowed.long(), changes=8)[0][0].tolist():
        assert float(scores[first, second]) == float(scores.max())
        scores[[first, second]], scores[:, [first, second]] = 0.0, 0.0


def test_few_of_many_features_are_candidates():
    """At 224 pixels in colour; a table of all pairs would take 180 GB."""
    generator = torch.Generator().manual_seed(0)
    gain, relief = torch.randn(2, 1, 150_528, generator=generator)
    allowed = torch.ones(1, 150_528, dtype=torch.bool)
    falling = relief.gather(1, gain.argsort(dim=1, descending=True))
    assert 2 <= int(saliency._dominated_by_fewer(falling, 2).sum()) < 200
    assert 16 <= int(saliency._dominated_by_fewer(falling, 16).sum()) < 512
    assert 16 <= int(saliency._hardly_dominated(gain, relief, most=16).sum()) < 5_000
    assert best_pairs(gain, relief, allowed.long())[1].tolist() == [[1]]
