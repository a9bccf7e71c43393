"""Data sets that cannot be used: told before anything is computed or kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

RANDOM = np.random.default_rng(7)
Written = Callable[..., Path]


def arrays(**changed: Any) -> dict[str, Any]:
    images = RANDOM.integers(0, 256, (8, 6, 6), np.uint8)
    labels = np.arange(8) % 2
    made = {f"{split}_{what}": values for split in ("train", "test")
            for what, values in (("images", images), ("labels", labels))}
    return {name: values for name, values in {**made, **changed}.items() if values is not None}


@pytest.mark.parametrize(
    ("changed", "settings", "told"),
    [
        ({"test_images": np.array([{}] * 8, dtype=object)}, {}, ["test_images", "Python objects"]),
        ({"test_labels": np.array(["a"] * 8, dtype=object)}, {}, ["test_labels", "never loaded"]),
        ({"train_images": np.zeros((8, 36), np.uint8)}, {}, ["train_images", "(8, 36)", "N×H×W"]),
        ({"test_images": np.zeros((8, 6, 6, 4), np.uint8)}, {}, ["test_images", "C 1 or 3"]),
        ({"test_images": np.zeros((8, 6, 6))}, {}, ["test_images", "uint8", "float64"]),
        ({"test_labels": np.arange(7) % 2}, {}, ["test_labels", "got 7", "expected 8"]),
        ({"test_labels": np.eye(8)[:, :3].astype(int)}, {}, ["test_labels", "one-hot"]),
        ({"test_labels": np.array([0, 1, 0, 1, 0, 1, 0, -1])}, {}, ["test_labels[7]", "got -1"]),
        ({"test_labels": np.array([0, 1, 0, 1, 0, 1, 0, 9])}, {}, ["one has 9", "test_labels"]),
        ({"test_labels": np.array([0, 1, 0, 2, 0, 1, 0, 1])}, {"class_names": ["a", "b"]},
         ["test_labels[3]", "got 2", "0..1"]),
        ({"test_images": None, "test_labels": None}, {}, ["no test images"]),
        ({"test_labels": None}, {}, ["there is no array 'test_labels'"]),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_an_npz_file(refused, written, tmp_path, changed, settings, told) -> None:
    np.savez(tmp_path / "d.npz", **arrays(**changed))
    said = refused("run", "-m", written(datasets=[{"npz": {"path": "d.npz", **settings}}]))
    assert all(part in said for part in ["m.yaml:3 datasets[0]", *told]), said


def test_nothing_to_train_on(refused, written: Written, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", **arrays(train_images=None, train_labels=None))
    said = refused("run", "-m", written(datasets=[{"npz": {"path": "d.npz"}}]))
    assert "recipes[0] standard: data set 'npz' has no training images" in said


def test_an_npz_file_that_is_none(refused, written: Written, tmp_path: Path) -> None:
    (tmp_path / "d.npz").write_bytes(b"no archive")
    assert "d.npz" in refused("run", "-m", written(datasets=[{"npz": {"path": "d.npz"}}]))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    for name in ("train/cat", "train/dog", "test/cat", "test/dog"):
        (root / name).mkdir(parents=True)
        for index in range(4):
            pixels = RANDOM.integers(0, 256, (16, 16), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.jpg")
    return root


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("keep", [0.5, 0.95])
def test_a_jpeg_that_was_cut(refused, written, pictures: Path, split: str, keep: float) -> None:
    cut = pictures / split / "dog" / "3.jpg"
    cut.write_bytes(cut.read_bytes()[: int(cut.stat().st_size * keep)])
    said = refused("run", "-m", written(datasets=[{"folder": {"path": "pictures"}}]))
    assert f"{cut}: not a readable image" in said
    assert "truncated" in said.lower()


def test_folders_that_are_no_data_set(refused, written: Written, pictures: Path) -> None:
    matrix = written(datasets=[{"folder": {"path": "pictures"}}])
    dogs = [pictures / split / "dog" for split in ("train", "test")]
    for folder in dogs:
        folder.rename(folder.with_name(".dog"))
    said = refused("run", "-m", matrix)
    assert "two class folders or more" in said
    assert "got ['cat']" in said
