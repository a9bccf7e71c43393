import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from robench.attacks.draws import Draws

CPU = torch.device("cpu")


def _draws(names, *, seed=0, attack="pgd", restart=0):
    return Draws.keyed(names, seed=seed, attack=attack, restart=restart, device=CPU)


@settings(max_examples=30, deadline=None)
@given(names=st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=6), data=st.data())
def test_an_image_draws_the_same_in_any_batch(names, data):
    order = data.draw(st.permutations(range(len(names))))
    together = _draws(names).uniform(2, 3)
    shuffled = _draws([names[row] for row in order]).uniform(2, 3)
    assert torch.equal(shuffled, together[list(order)])
    alone = _draws(names[:1]).uniform(2, 3)
    assert torch.equal(alone[0], together[0])


def test_every_part_of_the_key_counts():
    keys = [
        {}, {"seed": 1}, {"seed": -1}, {"attack": "bim"}, {"restart": 1},
    ]
    drawn = [_draws(["a"], **key).uniform(4) for key in keys] + [_draws(["b"]).uniform(4)]
    assert len({tuple(values[0].tolist()) for values in drawn}) == len(drawn)


def test_parts_of_a_key_do_not_run_into_each_other():
    one = _draws(["1a"], seed=1, attack="x").uniform(4)
    other = _draws(["a"], seed=11, attack="x").uniform(4)
    assert not torch.equal(one, other)


def test_a_restart_draws_anew_whatever_was_drawn_before_and_of_a_part_the_same():
    draws = _draws(["a", "b", "c"])
    draws.normal(3)
    again = draws.restarted(2)
    assert torch.equal(again.uniform(4), _draws(["a", "b", "c"], restart=2).uniform(4))
    part = draws.select(torch.tensor([2, 0])).restarted(2)
    assert torch.equal(part.uniform(4), _draws(["c", "a"], restart=2).uniform(4))
    assert torch.equal(draws.restarted(0).normal(3), _draws(["a", "b", "c"]).normal(3))


def test_selected_streams_go_on_where_they_are():
    draws = _draws(["a", "b", "c"])
    draws.uniform(5)
    some = draws.select(torch.tensor([2, 0]))
    assert len(some) == 2
    whole = _draws(["a", "b", "c"]).uniform(10)
    assert torch.equal(some.uniform(5), whole[[2, 0], 5:])


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (0.25, 0.5)])
def test_uniform_is_uniform(low, high):
    values = _draws([str(name) for name in range(40)]).uniform(50, low=low, high=high)
    assert values.dtype == torch.float32
    assert values.shape == (40, 50)
    assert low <= float(values.min())
    assert float(values.max()) <= high
    expected = stats.uniform(low, high - low).cdf
    assert stats.kstest(values.flatten().numpy(), expected).pvalue > 0.01


def test_normal_is_normal():
    values = _draws([str(name) for name in range(40)]).normal(1, 5, 10)
    assert values.shape == (40, 1, 5, 10)
    assert stats.kstest(values.flatten().numpy(), "norm").pvalue > 0.01


def test_streams_are_not_correlated():
    values = _draws(["a", "b", "c", "d"]).normal(2000).numpy()
    correlation = np.corrcoef(values) - np.eye(4)
    assert np.abs(correlation).max() < 0.08


def test_seeds_fit_a_foreign_generator():
    names = [str(name) for name in range(50)]
    seeds = _draws(names).seeds()
    assert seeds == _draws(names).seeds()
    assert len(set(seeds)) == 50
    assert all(isinstance(seed, int) and 0 <= seed < 2**31 for seed in seeds)


def test_global_generators_are_left_alone():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    _draws(["a"]).normal(3)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()
