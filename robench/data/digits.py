"""digits: 1,797 scanned handwritten digits that come with scikit-learn; needs no file."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robench.data.dataset import Dataset
from robench.data.options import Options


def digits(
    *,
    image_size: int | None = None,
    channels: int | None = None,
    limit: Mapping[str, int] | None = None,
) -> Dataset:
    """8×8 grey scans of the digits 0–9, split 70/10/20, stratified.

    The 17 grey values 0..16 become uint8 by round(value · 255 / 16). Source: the test part of
    Optical Recognition of Handwritten Digits (Alpaydin & Kaynak 1998, UCI), in scikit-learn.
    """
    images, labels = _scans()
    whole = Dataset.from_arrays(
        np.rint(images * (255 / 16)).astype(np.uint8),
        labels,
        class_names=[str(digit) for digit in range(10)],
        split={"train": 0.7, "validation": 0.1, "test": 0.2},
    )
    options = Options("digits", image_size=image_size, channels=channels, limit=limit)
    return options.apply(whole.splits, class_names=whole.class_names)


def _scans() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What scikit-learn's `load_digits` gives, without the seconds that its import takes."""
    found = find_spec("sklearn")
    folder = Path((found.submodule_search_locations or [""])[0]) if found else Path()
    file = folder / "datasets" / "data" / "digits.csv.gz"
    if not file.is_file():  # another release keeps it elsewhere
        from sklearn.datasets import load_digits

        scans = load_digits()
        return scans.images, scans.target
    table = np.loadtxt(file, delimiter=",")
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)
