import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from torch import Tensor

from robench.attacks.balls import (
    Ball,
    ascent_direction,
    box_ball,
    distances,
    in_unit_ball,
    in_unit_l1_ball,
    on_unit_l1_sphere,
    project,
    project_l2,
    sparse_direction,
)

EPSILONS = st.one_of(
    st.just(0.0), st.sampled_from([8 / 255, 0.1, 0.3]), st.floats(1e-6, 3.0, allow_nan=False)
)
SEEDS = st.integers(0, 2**20)
SHAPES = st.sampled_from([(1, 1, 1), (1, 8, 8), (3, 5, 4), (3, 32, 32)])


def _pair(seed: int, shape: tuple[int, ...], spread: float) -> tuple[Tensor, Tensor]:
    """Images, many of them at the edge of the box, and candidates around them."""
    generator = torch.Generator().manual_seed(seed)
    images = (torch.rand(3, *shape, generator=generator) * 1.5 - 0.25).clamp(0, 1)
    noise = torch.randn(images.shape, generator=generator)
    return images, images + spread * noise


def _norms(images: Tensor, other: Tensor, norm: str, dtype: torch.dtype) -> np.ndarray:
    delta = (other.to(dtype) - images.to(dtype)).flatten(1).numpy()
    if norm == "l1":
        return np.abs(delta).sum(axis=1, dtype=np.float64)
    return np.abs(delta).max(axis=1) if norm == "linf" else np.sqrt((delta**2).sum(axis=1))


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, shape=SHAPES, epsilon=EPSILONS, spread=st.sampled_from([1e-7, 0.01, 0.3, 5.0]))
def test_a_projection_is_inside_when_measured_again(norm, seed, shape, epsilon, spread):
    images, candidate = _pair(seed, shape, spread)
    inside = project(images, candidate, epsilon, norm)
    assert inside.dtype == torch.float32
    assert float(inside.min()) >= 0.0
    assert float(inside.max()) <= 1.0
    assert (_norms(images, inside, norm, torch.float64) <= epsilon).all()
    assert (_norms(images, inside, norm, torch.float32) <= np.float32(epsilon) * (1 + 1e-6)).all()
    assert bool((distances(images, inside, norm) <= epsilon).all())


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, shape=SHAPES, epsilon=EPSILONS, spread=st.sampled_from([1e-7, 0.01, 0.3, 5.0]))
def test_projecting_again_changes_nothing(norm, seed, shape, epsilon, spread):
    images, candidate = _pair(seed, shape, spread)
    once = project(images, candidate, epsilon, norm)
    assert torch.equal(project(images, once, epsilon, norm), once)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, epsilon=EPSILONS)
def test_a_projection_does_not_depend_on_other_rows(norm, seed, epsilon):
    images, candidate = _pair(seed, (3, 5, 4), 0.3)
    together = project(images, candidate, epsilon, norm)
    alone = torch.cat([
        project(images[row : row + 1], candidate[row : row + 1], epsilon, norm) for row in range(3)
    ])
    assert torch.equal(together, alone)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, shape=SHAPES, epsilon=EPSILONS)
def test_linf_is_the_exact_projection_but_for_rounding(seed, shape, epsilon):
    images, candidate = _pair(seed, shape, 0.5)
    exact = images.double().numpy()
    expected = np.clip(np.clip(candidate.double().numpy(), exact - epsilon, exact + epsilon), 0, 1)
    assert np.abs(project(images, candidate, epsilon, "linf").numpy() - expected).max() <= 2**-23


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, shape=SHAPES, epsilon=st.floats(1e-3, 3.0))
def test_l2_scales_into_the_ball_and_then_cuts_with_the_box(seed, shape, epsilon):
    images, candidate = _pair(seed, shape, 0.5)
    exact = images.double().numpy()
    delta = candidate.double().numpy() - exact
    norm = np.sqrt((delta**2).sum(axis=(1, 2, 3), keepdims=True))
    expected = np.clip(exact + delta * np.minimum(1.0, epsilon / norm), 0, 1)
    assert np.abs(project(images, candidate, epsilon, "l2").numpy() - expected).max() < 2e-6
    assert np.abs(project_l2(images, candidate, epsilon).numpy() - expected).max() < 2e-6


def _nearest(image: np.ndarray, candidate: np.ndarray, epsilon: float) -> np.ndarray:
    """The nearest point of the L1 ball and the box, by a search for the Lagrange multiplier."""
    delta = candidate - image

    def at(price: float) -> np.ndarray:
        return np.clip(np.sign(delta) * np.maximum(np.abs(delta) - price, 0), -image, 1 - image)

    def excess(price: float) -> float:
        return np.abs(at(price)).sum() - epsilon

    if excess(0.0) <= 0:
        return image + at(0.0)
    return image + at(optimize.brentq(excess, 0.0, np.abs(delta).max(), xtol=1e-15))


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, shape=SHAPES, epsilon=EPSILONS, spread=st.sampled_from([0.01, 0.5, 5.0]))
def test_l1_is_the_exact_projection_onto_ball_and_box(seed, shape, epsilon, spread):
    images, candidate = _pair(seed, shape, spread)
    found = project(images, candidate, epsilon, "l1").numpy()
    pairs = zip(images.double().numpy(), candidate.double().numpy(), strict=True)
    expected = np.stack([_nearest(*pair, epsilon) for pair in pairs])
    assert np.abs(found - expected).max() <= 4e-7 * (1 + epsilon)


@pytest.mark.parametrize("seed", range(4))
def test_l1_is_what_a_general_solver_finds(seed):
    """The minimiser of the distance under the constraints, parts up and down as variables."""
    images, candidate = _pair(seed, (1, 2, 3), 0.7)
    image, aim = images[0].double().numpy().ravel(), candidate[0].double().numpy().ravel()
    signs = np.concatenate([np.eye(6), -np.eye(6)])
    solved = optimize.minimize(
        lambda parts: ((image + parts @ signs - aim) ** 2).sum(), np.full(12, 1e-3),
        method="SLSQP", bounds=[(0, room) for room in (*(1 - image), *image)],
        constraints={"type": "ineq", "fun": lambda parts: 0.4 - parts.sum()},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    found = project(images[:1], candidate[:1], 0.4, "l1").numpy().ravel()
    assert np.abs(found - (image + solved.x @ signs)).max() < 1e-5


def test_a_tiny_l1_ball_in_a_large_image():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(1, 3, 96, 96, generator=generator).round(decimals=1)  # many at 0 and 1
    noise = torch.randn(images.shape, generator=generator)
    for epsilon in (0.0, 1e-9, 1e-3, 12.0):
        inside = project(images, images + noise, epsilon, "l1")
        reach = _norms(images, inside, "l1", torch.float64)[0]
        assert epsilon * (1 - 1e-3) - 1e-6 <= reach <= epsilon


def test_more_images_than_are_sorted_at_a_time():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(70, 1, 4, 4, generator=generator)
    candidate = images + torch.randn(images.shape, generator=generator)
    together = project(images, candidate, 1.0, "l1")
    parts = zip(images.split(9), candidate.split(9), strict=True)
    assert torch.equal(torch.cat([project(*part, 1.0, "l1") for part in parts]), together)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_what_is_well_inside_stays_as_it_is(norm):
    images = torch.full((2, 1, 4, 4), 0.5)
    candidate = images + 0.01
    assert torch.equal(project(images, candidate, 0.2, norm), candidate)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, shape=SHAPES, epsilon=EPSILONS)
def test_the_bounds_of_a_box_ball_hold_the_image_and_are_as_wide_as_they_can_be(
    seed, shape, epsilon
):
    images, _ = _pair(seed, shape, 0.0)
    low, high = box_ball(images, epsilon)
    assert bool((low <= images).all())
    assert bool((images <= high).all())
    exact = images.double()
    below = torch.nextafter(low, torch.tensor(-1.0)).double()
    above = torch.nextafter(high, torch.tensor(2.0)).double()
    assert bool(((exact - below > epsilon) | (below < 0)).all())
    assert bool(((above - exact > epsilon) | (above > 1)).all())


def test_a_tiny_l2_ball_in_a_large_image():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(1, 3, 96, 96, generator=generator)
    noise = torch.randn(images.shape, generator=generator)
    for epsilon in (1e-3, 1e-4, 1e-5):
        inside = project(images, images + noise, epsilon, "l2")
        assert _norms(images, inside, "l2", torch.float64)[0] <= epsilon


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_a_ball_projects_as_the_function_does_and_so_does_a_part_of_it(norm):
    images, candidate = _pair(0, (3, 5, 4), 0.5)
    ball, rows = Ball(images, 0.2, norm), torch.tensor([2, 0])
    expected = project(images, candidate, 0.2, norm)
    assert torch.equal(ball.project(candidate), expected)
    assert torch.equal(ball.select(rows).project(candidate[rows]), expected[rows])
    offset = (candidate - images) / 0.2
    assert torch.equal(ball.shifted(offset), ball.project(images + 0.2 * offset))


def test_points_in_the_unit_ball_are_uniform_and_do_not_depend_on_other_rows():
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(500, 1, 4, 4, generator=generator)
    radius = torch.rand(500, 1, 1, 1, generator=generator)
    points = in_unit_ball(normal, radius)
    volume = points.flatten(1).double().norm(dim=1) ** 16
    assert stats.kstest(volume.numpy(), "uniform").pvalue > 0.01
    assert float(points.mean(dim=0).abs().max()) < 0.05
    for size in (1, 7, 33):
        parts = zip(normal.split(size), radius.split(size), strict=True)
        assert torch.equal(torch.cat([in_unit_ball(*part) for part in parts]), points)


def test_points_in_the_unit_l1_ball_are_uniform_and_do_not_depend_on_other_rows():
    """A coordinate's share of a uniform direction is Beta(1, D − 1), the radius a power."""
    generator = torch.Generator().manual_seed(0)
    uniform = torch.rand(500, 1, 4, 4, generator=generator) * 2 - 1
    radius = torch.rand(500, 1, 1, 1, generator=generator)
    points = in_unit_l1_ball(uniform, radius)
    sizes = points.flatten(1).double().abs().sum(dim=1)
    assert stats.kstest((sizes**16).numpy(), "uniform").pvalue > 0.01
    shares = points.flatten(1).double().abs() / sizes[:, None]
    assert stats.kstest(shares[:, 3].numpy(), stats.beta(1, 15).cdf).pvalue > 0.01
    assert float((points > 0).float().mean()) == pytest.approx(0.5, abs=0.02)
    for size in (1, 7, 33):
        parts = zip(uniform.split(size), radius.split(size), strict=True)
        assert torch.equal(torch.cat([in_unit_l1_ball(*part) for part in parts]), points)


def test_an_l1_direction_from_the_ends_of_the_draws_is_one():
    draws = torch.tensor([[[[-1.0, 0.0]]], [[[0.0, 0.0]]]])
    assert on_unit_l1_sphere(draws).flatten(1).tolist() == [[-1.0, 0.0], [0.0, 0.0]]


def test_a_sparse_direction_moves_the_largest_that_can_move():
    gradient = torch.tensor([[[[5.0, -4.0, 3.0, -2.0, 1.0]]]])
    inside = torch.full_like(gradient, 0.5)
    cut = torch.tensor([[[[1.0, 0.0, 1.0, 1.0, 0.5]]]])
    for images, quantile, expected in (
        (inside, 0.99, [1, 0, 0, 0, 0]), (inside, 0.6, [0.5, -0.5, 0, 0, 0]),
        (cut, 0.99, [0, 0, 0, -1, 0]), (cut, 0.6, [0, 0, 0, -0.5, 0.5]),
        (cut, 0.0, [0, 0, 0, -0.5, 0.5]),
    ):
        assert sparse_direction(gradient, images, quantile).flatten().tolist() == expected


def test_a_sparse_direction_moves_all_of_equals_and_nothing_without_a_gradient():
    gradient = torch.tensor([[[[2.0, -2.0, 2.0, 2.0]]], [[[0.0, 0.0, 0.0, 0.0]]]])
    found = sparse_direction(gradient, torch.full_like(gradient, 0.5), 0.75).flatten(1)
    assert found.tolist() == [[0.25, -0.25, 0.25, 0.25], [0, 0, 0, 0]]


def test_directions_are_unit_steps_uphill():
    gradient = torch.tensor([[[[3.0, 0.0]], [[-4.0, 0.0]]], [[[0.0, 0.0]], [[0.0, 0.0]]]])
    assert ascent_direction(gradient, "linf").flatten(1).tolist() == [[1, 0, -1, 0], [0, 0, 0, 0]]
    unit = ascent_direction(gradient, "l2").flatten(1)
    assert unit[0].tolist() == pytest.approx([0.6, 0, -0.8, 0])
    assert unit[1].tolist() == [0, 0, 0, 0]


def test_an_l2_direction_has_length_one_even_where_the_gradient_is_tiny():
    for size in (1e-20, 1e-36):
        gradient = torch.full((1, 1, 4, 4), size)
        assert float(ascent_direction(gradient, "l2").norm()) == pytest.approx(1.0)


def test_distances_as_numpy_measures_them():
    images, candidate = _pair(3, (3, 8, 8), 0.2)
    candidate[:, :, 2:6] = images[:, :, 2:6]
    candidate[:, 1:] = images[:, 1:]
    delta = (candidate.double() - images.double()).numpy()
    flat = delta.reshape(3, -1)
    expected = {
        "linf": np.abs(flat).max(axis=1), "l2": np.linalg.norm(flat, axis=1),
        "l1": np.abs(flat).sum(axis=1), "l0": np.full(3, 32.0),
    }
    for norm, values in expected.items():
        assert distances(images, candidate, norm).tolist() == pytest.approx(values, rel=1e-6)


def test_l0_counts_places_not_channels():
    images = torch.zeros(1, 3, 2, 2)
    candidate = images.clone()
    candidate[0, :, 1, 1] = 0.5
    assert distances(images, candidate, "l0").tolist() == [1.0]
