import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from robench.training.batches import index_batches, load_batches, to_pixels

from .stand_ins import stripes

CPU = torch.device("cpu")


@given(st.integers(2, 200), st.integers(2, 20))
def test_batches_hold_every_image_once_and_never_one_alone(count: int, size: int) -> None:
    order = np.random.default_rng(count).permutation(count)
    batches = index_batches(order, size)
    assert np.concatenate(batches).tolist() == order.tolist()
    assert all(2 <= len(batch) <= size + 1 for batch in batches)
    assert all(len(batch) == size for batch in batches[:-1])


def test_a_single_image_joins_the_last_batch() -> None:
    assert [len(batch) for batch in index_batches(np.arange(9), 4)] == [4, 5]
    assert [len(batch) for batch in index_batches(np.arange(10), 4)] == [4, 4, 2]


def test_pixels_are_planar_and_exact() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 3, 2)).astype(np.uint8)
    images.flags.writeable = False
    pixels = to_pixels(images, CPU)
    assert pixels.is_contiguous()
    assert pixels.dtype == torch.float32
    expected = images.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    assert np.array_equal(pixels.numpy(), expected)


def test_loaded_rows_are_the_asked_ones() -> None:
    split = stripes(6, seed=0)
    (images, labels), (last, _) = load_batches(split, [np.array([4, 1]), np.array([3])], CPU)
    assert labels.tolist() == split.labels[[4, 1]].tolist()
    assert torch.equal(images, to_pixels(split.images[[4, 1]], CPU))
    assert torch.equal(last, to_pixels(split.images[[3]], CPU))
