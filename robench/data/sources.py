"""Where images come from: arrays, or sources that make them only when they are asked for."""

from __future__ import annotations

import os
import struct
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robench.errors import UserError

# Raised by whoever changes how a stored image becomes pixels: it is part of every fingerprint.
DECODER_VERSION = 1

IMAGE_FORMATS = ("JPEG", "PNG", "TIFF")
DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)

_MODES = {1: "L", 3: "RGB"}
_WORKERS = min(8, os.cpu_count() or 1)
_WORTH_THREADS = 32


class ImageSource(Protocol):
    """What the images of a split are: a uint8 array N×H×W×C, or something read like one.

    An index is an int (gives H×W×C), a slice, an array of ints or a boolean mask of length N
    (give M×H×W×C).
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[np.uint8]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> NDArray[np.uint8]: ...


class LazyImages(ABC):
    """Base of the sources that make images on access; a subclass gives `read`."""

    def __init__(self, shape: tuple[int, int, int, int]) -> None:
        self._shape = shape

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, C)."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        return np.dtype(np.uint8)

    @property
    def ndim(self) -> int:
        return 4

    def __len__(self) -> int:
        return self._shape[0]

    def __getitem__(self, index: Any, /) -> NDArray[np.uint8]:
        chosen = np.arange(len(self))[index]
        if chosen.ndim == 0:
            image: NDArray[np.uint8] = self.read(chosen[None])[0]
            return image
        return self.read(chosen)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("these images are made on access: an array of them is a copy")
        return np.asarray(self[:], dtype=dtype)

    @abstractmethod
    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The images at `indices` (each in 0..N-1), uint8 M×H×W×C."""


class SelectedImages(LazyImages):
    """Some images of another source, in the order of `indices`."""

    _source: ImageSource
    _indices: NDArray[np.int64]

    def __init__(self, source: ImageSource, indices: NDArray[np.int64]) -> None:
        _, height, width, channels = source.shape
        if isinstance(source, SelectedImages):
            self._source, self._indices = source._source, source._indices[indices]
        else:
            self._source, self._indices = source, indices
        super().__init__((len(indices), height, width, channels))

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.asarray(self._source[self._indices[indices]])


class ConvertedImages(LazyImages):
    """Another source, resized to `image_size` (H, W) and recoloured to `channels` (1 or 3).

    Colour becomes grey before the resizing, by ITU-R 601 luma (Pillow's convert("L")); grey
    becomes colour after it, by repetition. Resizing is Pillow's bilinear filter, which
    widens with the scale when it shrinks (antialiased).
    """

    def __init__(self, source: ImageSource, *, image_size: tuple[int, int], channels: int) -> None:
        self._source = source
        super().__init__((len(source), *image_size, channels))

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        raw = np.asarray(self._source[indices])
        height, width, channels = self.shape[1:]
        stored = min(channels, raw.shape[3])
        if raw.shape[1:] != (height, width, stored):
            made = np.empty((len(raw), height, width, stored), np.uint8)
            for image, target in zip(raw, made, strict=True):
                picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
                target[:] = _pixels(picture, height, width, stored)
            raw = made
        return raw if stored == channels else np.repeat(raw, channels, axis=3)


class FileImages(LazyImages):
    """JPEG, PNG and TIFF files, decoded on access to `shape` (N, H, W, C), C 1 or 3.

    With `resize`, images of any size are resized as ConvertedImages does; without it a file of
    another size is an error. EXIF orientation is ignored. A file that cannot be decoded
    raises UserError with its path.
    """

    def __init__(
        self, paths: Sequence[str], *, image_size: tuple[int, int], channels: int, resize: bool
    ) -> None:
        self._paths = tuple(paths)
        self._resize = resize
        super().__init__((len(self._paths), *image_size, channels))

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        images = np.empty((len(indices), *self.shape[1:]), np.uint8)
        paths = [self._paths[index] for index in indices]
        if len(paths) < _WORTH_THREADS:
            decoded = map(self._decode, paths)
            for target, image in zip(images, decoded, strict=True):
                target[:] = image
            return images
        with ThreadPoolExecutor(_WORKERS) as pool:
            for target, image in zip(images, pool.map(self._decode, paths), strict=True):
                target[:] = image
        return images

    def _decode(self, path: str) -> NDArray[np.uint8]:
        height, width, channels = self.shape[1:]
        try:
            with Image.open(path, formats=IMAGE_FORMATS) as picture:
                if not self._resize and picture.size != (width, height):
                    raise UserError(
                        "the image changed its size since the data set was loaded",
                        where=path,
                        got=f"{picture.size[0]}x{picture.size[1]}",
                        expected=f"{width}x{height}",
                    )
                return _pixels(picture, height, width, channels)
        except DECODING_ERRORS as error:
            raise UserError(f"cannot decode the image ({error})", where=path) from error


def _pixels(picture: Image.Image, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    if picture.mode != _MODES[channels]:
        picture = picture.convert(_MODES[channels])
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture, np.uint8).reshape(height, width, channels)
