"""Real images, where ROBENCH_DATA names a folder that holds them."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from robench.data.folder import folder
from robench.data.npz import npz


def need(name: str) -> Path:
    file = Path(os.environ.get("ROBENCH_DATA", "")) / name
    if not os.environ.get("ROBENCH_DATA") or not file.is_file():
        pytest.skip(f"{name} is not in ROBENCH_DATA")
    return file


def test_pneumoniamnist_has_eight_images_in_train_and_validation() -> None:
    held = npz(path=need("pneumoniamnist_28_rebuilt.npz"))
    assert held.duplicates == {
        "train-validation": 8,
        "train-test": 0,
        "validation-test": 0,
        "train": 18,
        "validation": 0,
        "test": 3,
    }
    assert held.class_counts("train") == (1214, 3494)
    assert held.class_counts("test") == (234, 390)


def test_the_chest_x_rays_at_64_pixels() -> None:
    file = need("chestxray_kermany_64.npz")
    held = npz(path=file, group_pattern=r"person\d+|(?:NORMAL2-)?IM-\d+")
    # 26 copies in what was train before a part of it became validation.
    assert held.duplicates == {
        "train-validation": 0,
        "train-test": 0,
        "validation-test": 0,
        "train": 23,
        "validation": 3,
        "test": 6,
    }
    raw = np.load(file)["test_images"].reshape(624, -1)
    assert len(raw) - len(np.unique(raw, axis=0)) == 6
    assert not set(held.train.group_ids) & set(held.validation.group_ids)


def test_mnist_and_its_mapped_twin_are_one_data_set() -> None:
    file = need("mnist.npz")
    held = npz(path=file, memory_limit_mb=1, limit={"train": 500})
    assert held.class_counts("test") == (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)
    assert (len(held.train), len(held.validation)) == (500, 6000)
    assert (held.test.images[:100, ..., 0] == np.load(file)["x_test"][:100]).all()


def test_jpegs_resized_here_are_the_published_64_pixels(tmp_path) -> None:
    packed, ready = need("chestxray_kermany_224_jpeg.tar"), need("chestxray_kermany_64.npz")
    arrays = np.load(ready)
    names = [name.decode() for name in arrays["test_names"]]
    with tarfile.open(packed) as archive:
        wanted = [member for member in archive if member.name.startswith("dataset/test/")]
        archive.extractall(tmp_path, members=wanted, filter="data")
    held = folder(path=tmp_path / "dataset", image_size=64, channels=1)
    assert held.class_counts("test") == (234, 390)
    assert held.duplicates == {"test": 6}
    place = {name: index for index, name in enumerate(held.test.image_ids.tolist())}
    order = [place[name] for name in names]
    assert (held.test.images[order][..., 0] == arrays["test_images"]).all()
    assert (held.test.labels[order] == arrays["test_labels"][:, 0]).all()
