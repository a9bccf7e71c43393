"""Sources read like arrays; their pixels are Pillow's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from robench.data.sources import ConvertedImages, FileImages, SelectedImages

RANDOM = np.random.default_rng(7)
GREY = RANDOM.integers(0, 256, (9, 14, 10, 1), np.uint8)
COLOUR = RANDOM.integers(0, 256, (9, 14, 10, 3), np.uint8)

indices = st.one_of(
    st.integers(-9, 8),
    st.slices(9),
    st.lists(st.integers(-9, 8), min_size=1).map(np.array),
    st.lists(st.booleans(), min_size=9, max_size=9).map(lambda mask: np.array(mask, bool)),
)


@settings(max_examples=100, deadline=None)
@given(indices)
def test_a_lazy_source_is_indexed_like_an_array(index) -> None:
    order = np.array([3, 1, 8, 0, 2, 4, 5, 6, 7])
    source = SelectedImages(SelectedImages(COLOUR, order), np.arange(9)[::-1])
    expected = COLOUR[order][::-1]
    found = source[index]
    assert found.dtype == np.uint8
    assert found.shape == expected[index].shape
    assert (found == expected[index]).all()


def test_a_source_tells_its_shape_and_becomes_an_array() -> None:
    source = ConvertedImages(COLOUR, image_size=(5, 6), channels=1)
    assert (len(source), source.shape, source.dtype) == (9, (9, 5, 6, 1), np.uint8)
    assert np.asarray(source).shape == (9, 5, 6, 1)
    assert np.asarray(source, np.float32).dtype == np.float32
    with pytest.raises(IndexError):
        source[9]


@pytest.mark.parametrize("size", [(4, 4), (14, 10), (20, 31)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("images", [GREY, COLOUR], ids=["grey", "colour"])
def test_conversion_is_pillows(images, channels, size) -> None:
    found = ConvertedImages(images, image_size=size, channels=channels)[:]
    for image, converted in zip(images, found, strict=True):
        picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
        expected = picture.convert("L" if channels == 1 else "RGB").resize(
            size[::-1], Image.Resampling.BILINEAR
        )
        assert (converted == np.asarray(expected).reshape(*size, channels)).all()


def test_grey_is_itu_r_601_luma_within_rounding() -> None:
    found = ConvertedImages(COLOUR, image_size=(14, 10), channels=1)[:][..., 0]
    assert np.abs(found - COLOUR @ np.array([0.299, 0.587, 0.114])).max() <= 0.51


def test_shrinking_is_antialiased() -> None:
    lines = np.zeros((1, 32, 32, 1), np.uint8)
    lines[:, :, ::2] = 255
    small = ConvertedImages(lines, image_size=(8, 8), channels=1)[0]
    assert np.abs(small[:, 1:-1].astype(float) - 127.5).max() < 20


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    paths = []
    for index in range(40):
        image = RANDOM.integers(0, 256, (12, 16, 3), np.uint8)
        path = tmp_path / f"{index:02d}.{'png' if index % 2 else 'jpg'}"
        Image.fromarray(image if index % 3 else image[..., 0]).save(path)
        paths.append(str(path))
    return paths


@pytest.mark.parametrize("channels", [1, 3])
def test_files_are_decoded_in_order_in_small_and_large_batches(files, channels) -> None:
    source = FileImages(files, image_size=(12, 16), channels=channels, resize=False)
    mode = "L" if channels == 1 else "RGB"
    expected = np.stack(
        [np.asarray(Image.open(path).convert(mode)).reshape(12, 16, channels) for path in files]
    )
    assert (source[:] == expected).all()
    assert (source[[5, 2]] == expected[[5, 2]]).all()
    assert (source[-1] == expected[-1]).all()


def test_files_are_resized_as_arrays_are(files) -> None:
    stored = FileImages(files, image_size=(12, 16), channels=3, resize=False)
    resized = FileImages(files, image_size=(8, 8), channels=1, resize=True)
    assert (resized[:] == ConvertedImages(stored, image_size=(8, 8), channels=1)[:]).all()


def test_exif_orientation_is_ignored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(GREY[0, ..., 0]).save(tmp_path / "turned.png", exif=exif)
    source = FileImages(
        [str(tmp_path / "turned.png")], image_size=(14, 10), channels=1, resize=False
    )
    assert (source[0] == GREY[0]).all()
