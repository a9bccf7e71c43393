"""Content hashes of images, and the byte-identical images they reveal."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from robench.data.sources import ImageSource

_CHUNK_BYTES = 64 * 2**20


def file_digest(content: bytes) -> bytes:
    """The digest of an image file: sha256 of its bytes, hexadecimal."""
    return hashlib.sha256(content).hexdigest().encode()


def image_digests(images: ImageSource) -> NDArray[np.bytes_]:
    """The digest of each image: sha256 of its shape and pixels, hexadecimal, dtype S64.

    Reads every image once, in chunks of about 64 MiB.
    """
    shape = tuple(int(length) for length in images.shape[1:])
    start = hashlib.sha256(f"{shape}".encode())
    step = max(1, _CHUNK_BYTES // max(1, int(np.prod(shape))))
    digests = np.empty(len(images), "S64")
    for first in range(0, len(images), step):
        chunk = np.ascontiguousarray(images[first : first + step])
        for offset, image in enumerate(chunk):
            state = start.copy()
            state.update(image)
            digests[first + offset] = state.hexdigest()
    return digests


def count_duplicates(digests: Mapping[str, NDArray[np.bytes_]]) -> dict[str, int]:
    """Byte-identical images in and between splits; `digests` by split name, in order.

    "a-b" is the number of images of b whose content also stands in a; "a" is the number of
    surplus copies inside a (images minus distinct images).
    """
    found = {
        f"{first}-{second}": int(np.isin(digests[second], digests[first]).sum())
        for first, second in itertools.combinations(digests, 2)
    }
    within = {name: len(held) - len(np.unique(held)) for name, held in digests.items()}
    return found | within
