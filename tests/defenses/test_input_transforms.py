"""Input transforms against other implementations of them, and their gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn

from robench.defenses.bit_depth import BitDepth, bit_depth
from robench.defenses.clahe import CLAHE, clahe
from robench.defenses.gaussian_blur import GaussianBlur, gaussian_blur
from robench.defenses.median import Median, median
from robench.defenses.nl_means import NonLocalMeans, nl_means
from robench.defenses.tv_minimisation import TVMinimisation, tv_minimisation

from .images import SHAPES, linear, pixels, seeded, slope_error

DEFENSES = {
    "median": (median, {"size": 5}), "gaussian-blur": (gaussian_blur, {"sigma": 0.7}),
    "bit-depth": (bit_depth, {"bits": 3}), "clahe": (clahe, {}),
    "nl-means": (nl_means, {"search": 5, "strength": 0.2}),
    "tv-minimisation": (tv_minimisation, {"steps": 15}),
}


def by_planes(images: Tensor, filtered) -> np.ndarray:
    return np.stack([[filtered(plane) for plane in image] for image in images.numpy()])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1, 3, 5])
def test_median_is_scipys(size: int, shape: tuple[int, ...]) -> None:
    images = pixels(*shape)
    expected = by_planes(images, lambda p: ndimage.median_filter(p, size=size, mode="nearest"))
    assert np.array_equal(Median(size)(images).numpy(), expected)
    assert torch.equal(Median(size)(images.requires_grad_(True)), torch.from_numpy(expected))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.5])
def test_gaussian_blur_is_scipys(sigma: float, shape: tuple[int, ...]) -> None:
    images = pixels(*shape, dtype=torch.float64)
    reach = int(np.ceil(4 * sigma))
    expected = by_planes(
        images, lambda p: ndimage.gaussian_filter(p, sigma, mode="nearest", radius=reach)
    )
    np.testing.assert_allclose(GaussianBlur(sigma)(images).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("bits", range(1, 9))
def test_bit_depth_is_the_nearest_grey_value(bits: int) -> None:
    images = pixels(2, 3, 9, 7)
    values = np.linspace(0, 1, 2**bits)
    nearest = values[np.abs(images.numpy()[..., None] - values).argmin(axis=-1)]
    reduced = BitDepth(bits)(images)
    np.testing.assert_allclose(reduced.numpy(), nearest, atol=1e-6)
    assert torch.equal(BitDepth(bits)(reduced), reduced)


def test_eight_bits_leave_saved_images_as_they_are() -> None:
    images = torch.arange(256).reshape(1, 1, 16, 16).float() / 255
    assert torch.equal(BitDepth(8)(images), images)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("weight", [0.03, 0.1])
def test_total_variation_without_dropout_is_scikit_images(weight: float, channels: int) -> None:
    restoration = pytest.importorskip("skimage.restoration")
    images = pixels(1, channels, 17, 23, dtype=torch.float64)
    ours = TVMinimisation(weight=weight, dropout=0.0, steps=1500)(images)
    expected = by_planes(images, lambda p: restoration.denoise_tv_chambolle(
        p, weight=weight, eps=1e-12, max_num_iter=3000))
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-3)


def primal_dual(image: np.ndarray, known: np.ndarray, weight: float, steps: int) -> np.ndarray:
    """Chambolle & Pock's algorithm 1 on one plane, its operator written out as a matrix."""
    height, width = image.shape
    index = np.arange(image.size).reshape(height, width)
    down, right = np.zeros((2, image.size, image.size))
    for row, column in np.ndindex(height, width):
        here = index[row, column]
        if row + 1 < height:
            down[here, [here, index[row + 1, column]]] = -1, 1
        if column + 1 < width:
            right[here, [here, index[row, column + 1]]] = -1, 1
    operator, step = np.concatenate([down, right]), 1 / np.sqrt(8)
    seen, target = known.flatten(), image.flatten()
    start = np.where(seen > 0, target, (target * seen).sum() / seen.sum())
    x = ahead = start
    y = np.zeros(2 * image.size)
    for _ in range(steps):
        y = y + step * operator @ ahead
        y = y / np.tile(np.maximum(1, np.hypot(*y.reshape(2, -1)) / weight), 2)
        following = (x - step * operator.T @ y + step * seen * target) / (1 + step * seen)
        x, ahead = following, 2 * following - x
    return x.reshape(height, width).clip(0, 1)


@pytest.mark.parametrize("steps", [1, 7, 23])
def test_the_iterations_are_chambolle_and_pocks(steps: int) -> None:
    images = pixels(2, 3, 9, 7, dtype=torch.float64)
    solver = TVMinimisation(weight=0.1, dropout=0.4, steps=steps)
    known = seeded(lambda like: torch.rand_like(like) >= 0.4, images).double()
    expected = [[primal_dual(*planes, 0.1, steps) for planes in zip(image, mask, strict=True)]
                for image, mask in zip(images.numpy(), known.numpy(), strict=True)]
    np.testing.assert_allclose(seeded(solver, images).numpy(), expected, atol=1e-12)


def test_pixels_that_are_not_known_do_not_matter() -> None:
    solver = TVMinimisation(weight=0.03, dropout=0.5, steps=30)
    images = pixels(1, 3, 12, 12)
    images.requires_grad_(True)
    output = seeded(solver, images, seed=3)
    (gradient,) = torch.autograd.grad(output.square().sum(), images)
    unknown = gradient == 0
    assert 0.4 < float(unknown.float().mean()) < 0.6
    other = torch.where(unknown, 1 - images, images).detach()
    torch.testing.assert_close(seeded(solver, other, seed=3), output.detach())


def test_dropped_pixels_of_a_flat_image_are_restored() -> None:
    images = torch.full((1, 1, 20, 20), 0.3)
    output = seeded(TVMinimisation(weight=0.03, dropout=0.5, steps=50), images)
    torch.testing.assert_close(output, images)


def by_definition(image: np.ndarray, search: int, patch: int, strength: float) -> np.ndarray:
    """Non-local means of one image C×H×W, pixel by pixel."""
    reach, margin = search // 2, patch // 2
    border = reach + margin
    padded = np.pad(image, ((0, 0), (border, border), (border, border)), mode="reflect")
    result = np.zeros_like(image)

    def around(row: int, column: int) -> np.ndarray:
        return padded[:, row - margin:row + margin + 1, column - margin:column + margin + 1]

    for row in range(image.shape[1]):
        for column in range(image.shape[2]):
            here, total = (row + border, column + border), 0.0
            for other in np.ndindex(search, search):
                there = (here[0] + other[0] - reach, here[1] + other[1] - reach)
                apart = np.mean((around(*here) - around(*there)) ** 2)
                weight = np.exp(-apart / strength**2)
                result[:, row, column] += weight * padded[:, there[0], there[1]]
                total += weight
            result[:, row, column] /= total
    return result


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("search", "patch"), [(5, 3), (3, 1)])
def test_non_local_means_is_its_definition(search: int, patch: int, channels: int) -> None:
    images = pixels(2, channels, 9, 11, dtype=torch.float64)
    ours = NonLocalMeans(search=search, patch=patch, strength=0.3)(images)
    expected = [by_definition(image, search, patch, 0.3) for image in images.numpy()]
    np.testing.assert_allclose(ours.numpy(), np.stack(expected), atol=1e-12)


def test_clahe_equalises_each_tile() -> None:
    """One level in each tile becomes the same level; a narrow range of levels is spread."""
    images = 0.4 + 0.2 * pixels(2, 1, 32, 32)
    spread = CLAHE(clip_limit=0.0, grid=2)(images)
    assert float(spread.std()) > 3 * float(images.std())
    flat = CLAHE(clip_limit=2.0, grid=2)(images)
    assert float(images.std()) < float(flat.std()) < float(spread.std())


def test_clahe_in_two_by_two_tiles_keeps_the_order_of_levels_at_a_corner() -> None:
    """The outer quarter of a corner tile is mapped by that tile's own distribution function."""
    images = pixels(1, 1, 16, 16)
    equalised = CLAHE(clip_limit=0.0, grid=2)(images)[0, 0, :4, :4].flatten()
    levels = (images[0, 0] * 255).long()
    below = [float((levels[:8, :8] <= level).float().mean()) for level in levels[:4, :4].flatten()]
    torch.testing.assert_close(equalised, torch.tensor(below), atol=1 / 255, rtol=0)


@pytest.mark.parametrize("name", DEFENSES)
@pytest.mark.parametrize("shape", SHAPES)
def test_pixels_stay_pixels(name: str, shape: tuple[int, ...]) -> None:
    factory, settings = DEFENSES[name]
    transform = factory(nn.Identity(), **settings)
    for images in (pixels(*shape), pixels(*shape).round()):
        output = seeded(transform, images)
        assert output.shape == images.shape
        assert output.dtype == images.dtype
        assert float(output.min()) >= 0.0
        assert float(output.max()) <= 1.0
        again = seeded(transform, images.requires_grad_(True)).detach()
        torch.testing.assert_close(again, output, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["median", "gaussian-blur", "nl-means", "tv-minimisation"])
@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_are_finite_differences(name: str, channels: int) -> None:
    factory, settings = DEFENSES[name]
    images = 0.2 + 0.6 * pixels(2, channels, 13, 11)
    assert slope_error(factory(nn.Identity(), **settings), images) < 1e-5


@pytest.mark.parametrize("name", ["bit-depth", "clahe"])
def test_where_there_is_no_gradient_the_identity_stands_in(name: str) -> None:
    factory, settings = DEFENSES[name]
    if name == "clahe":
        settings = {"sigma": 0.0}
    images, network = pixels(2, 3, 12, 12).requires_grad_(True), linear(3, 12)
    weights = torch.tensor([1.0, -2.0, 0.5])
    output = factory(network, **settings)(images)
    (gradient,) = torch.autograd.grad((output * weights).sum(), images)
    expected = (weights @ network[1].weight).reshape(1, 3, 12, 12).expand(2, -1, -1, -1)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("name", DEFENSES)
def test_white_and_black_areas_have_a_gradient(name: str) -> None:
    factory, settings = DEFENSES[name]
    images = torch.zeros(1, 1, 12, 12)
    images[..., 6:] = 1.0
    images.requires_grad_(True)
    output = seeded(factory(linear(1, 12), **settings), images)
    (gradient,) = torch.autograd.grad(output[0, 0], images)
    assert bool(torch.isfinite(gradient).all())
    assert float((gradient != 0).float().mean()) > 0.4


def test_strong_blur_of_a_small_image() -> None:
    output = GaussianBlur(6.0)(pixels(2, 1, 5, 7))
    assert output.shape == (2, 1, 5, 7)
    assert float(output.std()) < 0.1
    assert Median(9)(pixels(1, 1, 4, 3)).shape == (1, 1, 4, 3)
