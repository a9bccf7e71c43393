"""digits: the scans of scikit-learn with a fixed split."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from robench.data.digits import digits


def test_the_pixels_are_those_of_scikit_learn() -> None:
    held, scans = digits(), load_digits()
    seen = 0
    for split in held.splits.values():
        position = split.image_ids.astype(int)
        assert (
            np.abs(split.images[..., 0] / 255 * 16 - scans.images[position]) <= 16 / 255 / 2
        ).all()
        assert (split.labels == scans.target[position]).all()
        seen += len(split)
    assert seen == 1797
    assert (held.train.images.min(), held.train.images.max()) == (0, 255)


def test_the_split_is_fixed_and_stratified() -> None:
    held = digits()
    assert [len(split) for split in held.splits.values()] == [1258, 180, 359]
    assert held.class_names == tuple("0123456789")
    assert set(held.class_counts("test")) <= {34, 35, 36, 37}
    assert held.duplicates == dict.fromkeys(held.duplicates, 0)
    assert held.fingerprint == FINGERPRINT


FINGERPRINT = "21ef25e791dde018e54c6bd67e7d89823fbf141fe31aa113924277000fefc9a0"


def test_size_channels_and_limit() -> None:
    held = digits(image_size=32, channels=3, limit={"train": 100})
    assert held.train.images[:5].shape == (5, 32, 32, 3)
    assert (len(held.train), len(held.test)) == (100, 359)
    assert set(held.train.image_ids) < set(digits().train.image_ids)
