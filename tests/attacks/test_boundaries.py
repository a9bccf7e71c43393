import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from robench.attacks.balls import distances
from robench.attacks.boundaries import (
    dot,
    nearest_boundary,
    onto_hyperplane,
    ranked_others,
    within_reach,
)

from .closed_form import binary, five_classes
from .networks import backwards_seen, whole_view

PIXELS = 6


def _cases(count=40):
    """Points, some at the edge of the box, slopes with zeros among them, gaps of both signs."""
    draw = np.random.default_rng(0)
    points = draw.uniform(size=(count, PIXELS)).round(1)
    slopes = draw.normal(size=(count, PIXELS)) * (draw.uniform(size=(count, PIXELS)) > 0.2)
    return points, slopes, draw.normal(size=count)


def _reach(points, slopes, gaps):
    """How far each gap can be closed inside the box."""
    ahead = -np.sign(slopes) * np.sign(gaps)[:, None]
    return (np.abs(slopes) * np.where(ahead > 0, 1 - points, points)).sum(axis=1)


def _linear_program(point, slope, gap, norm):
    """The shortest step by scipy: its parts up and down, and for L∞ their bound."""
    bounds = [(0, 1 - x) for x in point] + [(0, x) for x in point] + [(0, None)]
    equality = np.concatenate([slope, -slope, [0]])[None]
    each = np.concatenate([np.eye(PIXELS), np.eye(PIXELS), -np.ones((PIXELS, 1))], axis=1)
    cost = np.zeros(2 * PIXELS + 1)
    cost[-1] = 1 if norm == "linf" else 0
    if norm == "l1":
        cost[:-1], each = 1, np.zeros_like(each)
    return optimize.linprog(cost, each, np.zeros(PIXELS), equality, [-gap], bounds).fun


def _quadratic_program(point, slope, gap):
    found = optimize.minimize(
        lambda step: step @ step, np.zeros(PIXELS), jac=lambda step: 2 * step, method="SLSQP",
        bounds=list(zip(-point, 1 - point, strict=True)), options={"ftol": 1e-12},
        constraints={"type": "eq", "fun": lambda step: gap + slope @ step,
                     "jac": lambda step: slope},
    )
    return np.sqrt(found.fun)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_step_onto_a_hyperplane_is_the_shortest_inside_the_box(norm):
    points, slopes, gaps = _cases()
    shape = (-1, 1, 2, 3)
    inputs = [torch.from_numpy(each).float().reshape(shape) for each in (points, slopes)]
    steps = onto_hyperplane(*inputs, torch.from_numpy(gaps).float(), norm)
    ends = inputs[0] + steps
    assert float(ends.min()) >= -1e-6
    assert float(ends.max()) <= 1 + 1e-6
    left = torch.from_numpy(gaps).float() + dot(inputs[1], steps)
    lengths = distances(torch.zeros_like(steps), steps, norm)
    within = _reach(points, slopes, gaps) >= np.abs(gaps)
    assert 5 < within.sum() < len(gaps)
    for row, (point, slope, gap) in enumerate(zip(points, slopes, gaps, strict=True)):
        if not within[row]:
            short = abs(gap) - _reach(points, slopes, gaps)[row]
            assert abs(float(left[row])) == pytest.approx(short, abs=1e-5)
            continue
        exact = (_quadratic_program(point, slope, gap) if norm == "l2"
                 else _linear_program(point, slope, gap, norm))
        assert abs(float(left[row])) < 1e-5
        assert float(lengths[row]) == pytest.approx(exact, abs=1e-4)


def test_no_gap_and_no_slope_are_no_step():
    points = torch.full((2, 1, 2, 2), 0.5)
    slopes = torch.stack([torch.ones(1, 2, 2), torch.zeros(1, 2, 2)])
    for norm in ("linf", "l2", "l1"):
        steps = onto_hyperplane(points, slopes, torch.tensor([0.0, 1.0]), norm)
        assert torch.equal(steps, torch.zeros_like(steps))


@pytest.mark.parametrize(("norm", "order"), [("linf", 1), ("l2", 2), ("l1", torch.inf)])
def test_the_nearest_boundary_of_a_linear_network(norm, order):
    network, images, labels = five_classes()
    query, log = whole_view(network, images, labels, epsilon=1.0, norm=norm, smallest=True)
    logits = query.logits(images)
    others = ranked_others(logits, labels)
    found = nearest_boundary(query, images, others, norm)
    gaps = logits - logits.gather(1, labels[:, None])
    slopes = network.weights - network.weights[labels][:, None]
    slopes = slopes.detach()
    away = gaps.abs() / torch.linalg.vector_norm(slopes, order, dim=2)
    away = away.scatter(1, labels[:, None], torch.inf)
    nearest = away.argmin(dim=1)
    assert torch.allclose(found.distance, away.amin(dim=1), rtol=1e-5)
    assert torch.allclose(found.gap, gaps.gather(1, nearest[:, None])[:, 0])
    expected = slopes[torch.arange(len(labels)), nearest]
    assert torch.allclose(found.slope.flatten(1), expected, atol=1e-5)
    assert set(log.forwards.tolist()) == {2}
    assert set(log.backwards.tolist()) == {4}


def test_more_classes_than_have_room_take_another_forward(monkeypatch):
    network, images, labels = five_classes()
    query, _ = whole_view(network, images, labels, epsilon=1.0, smallest=True)
    others = ranked_others(query.logits(images), labels)
    expected = nearest_boundary(query, images, others, "l2")
    query, log = whole_view(network, images, labels, epsilon=1.0, smallest=True)
    monkeypatch.setattr(
        "robench.attacks.boundaries._VALUES", {"cpu": 3 * 32 * images[0].numel()}
    )
    found = nearest_boundary(query, images, others, "l2")
    assert torch.equal(found.slope, expected.slope)
    assert torch.equal(found.distance, expected.distance)
    assert set(log.forwards.tolist()) == {2}
    assert set(log.backwards.tolist()) == {4}


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6), reach=st.floats(1.0, 8.0), classes=st.integers(2, 12))
def test_the_nearest_is_within_reach_where_no_slope_is_steeper(seed, reach, classes):
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(20, classes, generator=draw)
    labels = logits.argmax(dim=1)
    others = ranked_others(logits, labels)
    wanted = within_reach(logits, labels, others, reach)
    gaps = logits.gather(1, labels[:, None]) - logits.gather(1, others)
    # The steepest is `reach` times as steep as the flattest, at the most.
    slopes = reach ** torch.rand(gaps.shape, generator=draw)
    nearest = (gaps / slopes).argmin(dim=1)
    assert bool(wanted.gather(1, nearest[:, None]).all())
    assert bool(within_reach(logits, labels, others, torch.inf).all())
    only_smallest = within_reach(logits, labels, others, 1.0)
    assert torch.equal(only_smallest, gaps == gaps.amin(dim=1, keepdim=True))


@pytest.mark.parametrize("room", [1, 2, 4])
@pytest.mark.parametrize("rowwise", [True, False])
def test_boundaries_that_are_not_wanted_are_neither_the_nearest_nor_paid_for(
    monkeypatch, room, rowwise
):
    network, images, labels = five_classes()
    monkeypatch.setattr(
        "robench.attacks.boundaries._VALUES", {"cpu": room * 32 * images[0].numel()}
    )
    query, log = whole_view(
        network, images, labels, epsilon=1.0, smallest=True, rowwise=rowwise
    )
    logits = query.logits(images)
    others = ranked_others(logits, labels)
    wanted = torch.rand(others.shape, generator=torch.Generator().manual_seed(3)) < 0.5
    wanted[:, 3] |= ~wanted.any(dim=1)
    found = nearest_boundary(query, images, others, "l2", wanted=wanted)
    alone = [  # each image and the classes that are wanted of it, by itself
        nearest_boundary(query.select(torch.tensor([row])), images[row : row + 1],
                         others[row, wanted[row]][None], "l2")
        for row in range(len(images))
    ]
    for name in ("gap", "slope", "distance", "logits"):
        expected = torch.cat([getattr(each, name) for each in alone])
        # A gap is the difference of logits of up to 100, in batches of another size.
        torch.testing.assert_close(getattr(found, name), expected, rtol=2e-4, atol=2e-5)
    ways = wanted.sum(dim=1)
    assert log.backwards.tolist() == (2 * ways).tolist()
    assert log.forwards.tolist() == (1 + 2 * -(-ways // room)).tolist()
    assert len(set(ways.tolist())) == 4


def test_two_classes_need_one_backward():
    network, images, labels = binary(one_logit=True)
    query, log = whole_view(network, images, labels, epsilon=1.0, smallest=True)
    with backwards_seen(network) as seen:
        nearest_boundary(query, images, 1 - labels[:, None], "l2")
    assert len(seen) == 1
    assert set(log.backwards.tolist()) == {1}


def test_others_are_ranked_without_the_label():
    logits = torch.tensor([[3.0, 5.0, 4.0], [1.0, 0.0, 1.0]])
    assert ranked_others(logits, torch.tensor([1, 1])).tolist() == [[2, 0], [0, 2]]


def test_a_network_without_gradients_has_no_slope():
    class Steps(torch.nn.Module):
        def forward(self, images):
            return (images.flatten(1)[:, :3] > 0.5).float()

    images, labels = torch.full((4, 1, 2, 2), 0.7), torch.zeros(4).long()
    query, log = whole_view(Steps(), images, labels, epsilon=1.0, smallest=True)
    found = nearest_boundary(query, images, torch.tensor([[1, 2]]).expand(4, -1), "l2")
    assert not bool(found.slope.any())
    assert bool(torch.isfinite(found.distance).all())
    assert not bool(log.gradient_alive.any())
