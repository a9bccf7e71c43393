"""Data sets in .npz files: both layouts, options, arrays larger than the memory limit."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path

import numpy as np
import pytest

from robench.data.npz import npz
from robench.data.npz_stream import read_entry

RANDOM = np.random.default_rng(3)
COUNTS = {"train": 40, "val": 10, "test": 20}


def made(count: int, *shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (count, *shape), np.uint8)


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    held = {}
    for split, count in COUNTS.items():
        held[f"{split}_images"] = made(count, 12, 12)
        held[f"{split}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, None]
        held[f"{split}_names"] = np.array(
            [f"person{i // 2}_{i}.png".encode() for i in range(count)]
        )
    return held


@pytest.fixture
def file(tmp_path: Path, arrays) -> Path:
    np.savez_compressed(tmp_path / "set.npz", **arrays)
    return tmp_path / "set.npz"


def test_the_medmnist_layout(file, arrays) -> None:
    held = npz(path=file)
    assert [len(split) for split in held.splits.values()] == [40, 10, 20]
    assert (held.validation.images[..., 0] == arrays["val_images"]).all()
    assert (held.validation.labels == arrays["val_labels"][:, 0]).all()
    assert held.validation.image_ids[[0, 9]].tolist() == ["val/000000", "val/000009"]
    assert (held.name, held.class_names) == ("npz", ("0", "1"))


def test_the_keras_layout_in_colour(tmp_path) -> None:
    images = made(30, 8, 9, 3)
    np.savez(
        tmp_path / "k.npz",
        x_train=images,
        y_train=np.arange(30) % 3,
        x_test=images[:6],
        y_test=np.arange(6) % 3,
    )
    held = npz(path=tmp_path / "k.npz", class_names=["a", "b", "c"], validation=0)
    assert (held.in_channels, held.image_size, held.class_names) == (3, (8, 9), ("a", "b", "c"))
    assert list(held.splits) == ["train", "test"]
    assert held.duplicates == {"train-test": 6, "train": 0, "test": 0}


def test_a_test_split_alone_is_enough(tmp_path, arrays) -> None:
    test = {name: array for name, array in arrays.items() if name.startswith("test")}
    np.savez(tmp_path / "t.npz", **test)
    held = npz(path=tmp_path / "t.npz")
    assert (held.train, held.validation, len(held.test)) == (None, None, 20)


@pytest.mark.parametrize(("fraction", "expected"), [(None, 4), (0.25, 10), (0, None)])
def test_validation_is_taken_from_train(tmp_path, arrays, fraction, expected) -> None:
    rest = {name: array for name, array in arrays.items() if not name.startswith("val")}
    np.savez(tmp_path / "n.npz", **rest)
    held = npz(path=tmp_path / "n.npz", validation=fraction, group_pattern=r"person\d+")
    assert (held.validation and len(held.validation)) == expected
    if expected:
        assert len(held.train) == 40 - expected
        assert not set(held.train.group_ids) & set(held.validation.group_ids)
        counts = held.class_counts("validation")
        assert abs(counts[0] - counts[1]) <= 1


def test_groups_are_the_first_group_of_the_pattern(file) -> None:
    assert npz(path=file, group_pattern=r"person(\d+)_").test.group_ids[3] == "1"
    assert npz(path=file, group_pattern=r"person\d+").test.group_ids[3] == "person1"


def test_a_smaller_limit_keeps_part_of_a_larger_one(file, arrays) -> None:
    few = npz(path=file, limit={"train": 5, "test": 99})
    more = npz(path=file, limit={"train": 20})
    assert (len(few.train), len(more.train), len(few.test)) == (5, 20, 20)
    assert set(few.train.image_ids) < set(more.train.image_ids)
    position = int(few.train.image_ids[0].split("/")[1])
    assert (few.train.images[0][..., 0] == arrays["train_images"][position]).all()
    assert few.fingerprint != more.fingerprint


def test_size_and_channels_are_in_the_fingerprint_as_they_come_out(file) -> None:
    plain = npz(path=file).fingerprint
    assert npz(path=file, image_size=12, channels=1).fingerprint == plain
    assert npz(path=file, image_size=6).fingerprint != plain
    assert npz(path=file, channels=3).fingerprint != plain
    held = npz(path=file, image_size=6, channels=3, limit={"test": 4})
    assert held.test.images[:].shape == (4, 6, 6, 3)
    assert held.train.images.shape == (40, 6, 6, 3)


def test_another_place_or_packing_has_the_same_fingerprint(file, arrays, tmp_path) -> None:
    (tmp_path / "b").mkdir()
    np.savez(tmp_path / "b" / "other.npz", **dict(reversed(arrays.items())))
    assert npz(path=tmp_path / "b" / "other.npz").fingerprint == npz(path=file).fingerprint


def test_a_relative_path_is_found_here_then_in_the_data_folder(file, monkeypatch, tmp_path) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("ROBENCH_DATA", str(file.parent))
    assert len(npz(path="set.npz").test) == 20
    np.savez(tmp_path / "here" / "set.npz", test_images=made(3, 4, 4), test_labels=[0, 1, 1])
    assert len(npz(path="set.npz").test) == 3


def test_the_home_folder_is_expanded(file, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(file.parent))
    assert len(npz(path="~/set.npz").test) == 20


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_large_array_is_mapped_with_the_same_content(tmp_path, save, order, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    images = np.asarray(made(50, 16, 16, 3), order=order)
    save(tmp_path / "large.npz", train_images=images, train_labels=np.arange(50) % 2)
    small = read_entry(tmp_path / "large.npz", "train_images", memory_limit=10**9)
    mapped = read_entry(tmp_path / "large.npz", "train_images", memory_limit=0)
    assert not isinstance(small, np.memmap)
    assert isinstance(mapped, np.memmap)
    assert (mapped == images).all()
    assert (small == images).all()
    del mapped

    held = npz(path=tmp_path / "large.npz", memory_limit_mb=0, limit={"train": 7}, validation=0.2)
    whole = npz(path=tmp_path / "large.npz", limit={"train": 7}, validation=0.2)
    assert held.fingerprint == whole.fingerprint
    assert (held.train.images[:] == whole.train.images).all()
    unpacked = list((tmp_path / "temporary").iterdir())
    assert len(unpacked) == (1 if save is np.savez_compressed else 0)
    del held
    gc.collect()
    assert not list((tmp_path / "temporary").iterdir())


def test_digests_in_chunks_equal_digests_at_once(monkeypatch) -> None:
    from robench.data import digests

    images = made(23, 5, 5, 1)
    whole = digests.image_digests(images)
    monkeypatch.setattr(digests, "_CHUNK_BYTES", 100)
    assert (digests.image_digests(images) == whole).all()
    assert len(set(whole)) == 23
