"""When APGD halves a step and goes back: algorithm 1 of Croce & Hein 2020 (arXiv 2003.01690), with
the comparison of the authors' code: a rise in ρ of the steps is not enough, in the paper it is."""

import pytest
import torch

from robench.attacks.apgd import _Ascent

RHO = 0.75


def _begin(*losses):
    """An ascent of an image for each loss; step and gradient say where an iterate is from."""
    return _Ascent.begin(_filled(losses, 0.0), torch.tensor(losses), _filled(losses, 100.0),
                         step_size=0.5)


def _filled(losses, value):
    return torch.full((len(losses), 1, 2, 2), value)


def _record(state, step, *losses):
    state.current = _filled(losses, float(step))
    state.record(torch.tensor(losses), _filled(losses, 100.0 + step))


def _halvings(start, windows):
    """Whether the checkpoint at the end of each window of losses halves the step."""
    state, found, step = _begin(start), [], 0
    for losses in windows:
        for loss in losses:
            step += 1
            _record(state, step, loss)
        state.check(RHO * len(losses))
        found.append(bool(state.halved))
        assert float(state.step_size) == 0.5 / 2 ** sum(found)
    return found


@pytest.mark.parametrize(("losses", "halved"), [
    ([1.0, 2.0, 3.0, 4.0], False),  # 4 rises of 4 steps, more than 3
    ([1.0, 2.0, 3.0, 2.0], True),  # 3 of 4, which is ρ of them
    ([1.0, 2.0, 3.0, 3.0], True),  # to stay is not to rise
    ([-1.0, 0.0, 1.0, 2.0], True),  # the first step is one too
    ([1.0, 0.0, 2.0, 1.0], True),  # 2
    ([-1.0, -2.0, -3.0, -4.0], True),  # none
    ([1.0, 2.0, 3.0, 4.0, 0.0], False),  # 4 of 5, more than 3.75
    ([1.0, 2.0, 3.0, 0.0, -1.0], True),  # 3 of 5
    ([1.0], False),
    ([0.0], True),
])
def test_a_step_is_halved_where_no_more_than_rho_of_the_steps_raised_the_loss(losses, halved):
    assert _halvings(0.0, [losses]) == [halved]


RISING = [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(("start", "windows", "halved"), [
    # All rise, up to the 10 of before only at the fourth; equal is no better.
    (0.0, [[1.0, 2.0, 3.0, 10.0, 0.0], RISING], [False, True]),
    (0.0, [[1.0, 2.0, 3.0, 10.0, 0.0], [1.0, 2.0, 3.0, 10.0]], [False, True]),
    (0.0, [[1.0, 2.0, 3.0, 10.0, 0.0], [1.0, 2.0, 3.0, 11.0]], [False, False]),
    # A step that was halved at the last checkpoint is not the one of before: it gets a chance,
    # and the next is halved if that brought nothing.
    (0.0, [[1.0, 2.0, 3.0, 10.0, 0.0], RISING, [5.0, 6.0, 7.0, 8.0]], [False, True, False]),
    (0.0, [[1.0, 2.0, 3.0, 10.0, 0.0], RISING, [5.0, 6.0, 7.0, 8.0], [8.1, 8.2, 8.3, 8.4]],
     [False, True, False, True]),
    (0.0, [[1.0, 2.0, 3.0, 10.0, 0.0], RISING, [5.0, 6.0, 7.0, 8.0], [8.1, 8.2, 8.3, 10.1]],
     [False, True, False, False]),
    # At the first checkpoint the best loss is compared with none, in the authors' code too.
    (10.0, [[1.0, 2.0, 3.0, 4.0, 5.0]], [False]),
    (10.0, [[1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0]], [False, True]),
])
def test_a_step_is_halved_where_neither_it_nor_the_best_loss_changed(start, windows, halved):
    assert _halvings(start, windows) == halved


def test_only_where_it_is_halved_the_ascent_goes_back_to_its_best_point():
    state = _begin(0.0, 0.0, 0.0)
    for step, losses in enumerate([(1.0, 5.0, -1.0), (2.0, 1.0, -2.0), (3.0, 5.0, -3.0)], start=1):
        _record(state, step, *losses)
    assert state.rises.tolist() == [3.0, 2.0, 0.0]
    assert state.best_loss.tolist() == [3.0, 5.0, 0.0]
    state.check(RHO * 3)
    assert state.halved.tolist() == [False, True, True]
    assert state.step_size.flatten().tolist() == [0.5, 0.25, 0.25]
    # Of the second image, 5 was first reached at step 1; the third never got above its start.
    assert state.current[:, 0, 0, 0].tolist() == [3.0, 1.0, 0.0]
    assert state.gradient[:, 0, 0, 0].tolist() == [103.0, 101.0, 100.0]
    assert state.loss.tolist() == [3.0, 5.0, -3.0]
    assert state.checked.tolist() == [3.0, 5.0, 0.0]
    assert state.rises.tolist() == [0.0, 0.0, 0.0]
