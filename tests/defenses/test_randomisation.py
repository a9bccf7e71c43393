"""Random resizing and padding."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from robench.defenses.randomisation import ResizeAndPad, randomisation

from .images import pixels, seeded, slope_error


@settings(deadline=None, max_examples=40)
@given(height=st.integers(1, 40), width=st.integers(1, 40), scale=st.floats(1.01, 2.0),
       seed=st.integers(0, 99))
@example(height=1, width=26, scale=1.84375, seed=26)
def test_the_image_is_somewhere_on_the_canvas(height, width, scale, seed) -> None:
    """Every row of the canvas is a row of the image, enlarged, or black."""
    images = pixels(2, 3, height, width) * 0.5 + 0.5
    output = seeded(ResizeAndPad(scale), images, seed)
    canvas = [max(round(side * scale), side + 1) for side in (height, width)]
    assert list(output.shape) == [2, 3, *canvas]
    for image, placed in zip(images, output, strict=True):
        rows = (placed > 0).any(dim=0).any(dim=1).nonzero()[:, 0]
        columns = (placed > 0).any(dim=0).any(dim=0).nonzero()[:, 0]
        inside = placed[:, rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
        assert height <= inside.shape[1] < canvas[0]
        # torch has the place in float32, which may be just below the pixel that it is exactly on.
        taken = [(torch.arange(size) * torch.tensor(side / size)).long()
                 for size, side in zip(inside.shape[1:], (height, width), strict=True)]
        assert torch.equal(inside, image[:, taken[0]][:, :, taken[1]])
        assert float(placed.sum()) == pytest.approx(float(inside.sum()), rel=1e-5)


def test_every_size_and_place_is_drawn() -> None:
    images = torch.ones(4000, 1, 10, 10)
    output = seeded(ResizeAndPad(1.3), images)
    sizes = (output > 0).any(dim=3).sum(dim=2).flatten()
    assert sizes.unique().tolist() == [10, 11, 12]
    assert min(int((sizes == size).sum()) for size in (10, 11, 12)) > 1200
    small = output[sizes == 10][:, 0]
    corners = {(int(one.any(dim=1).nonzero()[0]), int(one.any(dim=0).nonzero()[0]))
               for one in small}
    assert corners == {(top, left) for top in range(4) for left in range(4)}


def test_the_paper_s_sizes() -> None:
    module = randomisation(nn.Identity())[0]
    assert module(torch.ones(1, 3, 299, 299)).shape == (1, 3, 331, 331)


def test_each_image_has_a_draw_of_its_own_and_the_seed_decides() -> None:
    module = ResizeAndPad(1.5)
    images = pixels(1, 1, 12, 12).expand(20, -1, -1, -1)
    first, again = seeded(module, images), seeded(module, images)
    assert torch.equal(first, again)
    assert len({image.numpy().tobytes() for image in first}) > 15
    assert not torch.equal(first, seeded(module, images, seed=1))
    assert module(images[:0]).shape == (0, 1, 18, 18)


def test_the_gradient_goes_through() -> None:
    assert slope_error(ResizeAndPad(1.4), pixels(3, 2, 9, 7)) < 1e-6
