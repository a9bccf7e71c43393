"""What npz refuses, and what it says: file, array, got, expected."""

from __future__ import annotations

import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from robench.data.npz import npz
from robench.errors import UserError

IMAGES = np.arange(4 * 9, dtype=np.uint8).reshape(4, 3, 3)
LABELS = np.array([0, 1, 0, 1])
GOOD = {"train_images": IMAGES, "train_labels": LABELS}


def told(path: Path | str | None, **options) -> str:
    with pytest.raises(UserError) as error:
        npz(path=path, **options)
    assert len(str(error.value).splitlines()) <= 2
    return str(error.value)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    np.savez(tmp_path / "good.npz", **GOOD)
    return tmp_path / "good.npz"


@pytest.mark.parametrize(
    ("arrays", "parts"),
    [
        ({"train_images": IMAGES}, ["there is no array 'train_labels'"]),
        (
            {"train_labels": LABELS, "test_images": IMAGES, "test_labels": LABELS},
            ["there is no array 'train_images'"],
        ),
        ({"images": IMAGES, "labels": LABELS}, ["layout", "['images', 'labels']", "x_train"]),
        ({"train_image": IMAGES, "train_label": LABELS}, ["'train_image' looks close"]),
        ({**GOOD, "train_images": IMAGES / 255}, ["bad.npz: train_images", "float64", "uint8"]),
        ({**GOOD, "train_images": IMAGES[0]}, ["train_images", "(3, 3)"]),
        ({**GOOD, "train_labels": LABELS[:3]}, ["bad.npz: train_labels", "got 3", "expected 4"]),
        ({**GOOD, "train_labels": np.eye(4, dtype=int)}, ["train_labels", "multi-label"]),
        ({**GOOD, "train_labels": LABELS - 1}, ["train_labels[0]", "got -1"]),
        ({**GOOD, "train_labels": LABELS.astype(object)}, ["train_labels", "objects", "object"]),
        ({**GOOD, "train_images": IMAGES.astype(object)}, ["train_images", "objects"]),
    ],
)
def test_wrong_arrays(tmp_path, arrays, parts) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    message = told(tmp_path / "bad.npz")
    assert str(tmp_path / "bad.npz") in message
    for part in parts:
        assert part in message


def test_a_label_without_a_name(good) -> None:
    np.savez(good, **GOOD, test_images=IMAGES, test_labels=LABELS * 2)
    message = told(good, class_names=["a", "b"])
    assert "good.npz: test_labels[1]" in message
    assert "got 2" in message


def test_a_pickle_is_never_loaded(tmp_path) -> None:
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    with zipfile.ZipFile(tmp_path / "trap.npz", "w") as archive:
        archive.writestr("train_images.npy", pickle.dumps(Trap()))
        archive.writestr("train_labels.npy", pickle.dumps(Trap()))
    assert "trap.npz: train_images" in told(tmp_path / "trap.npz")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04 and no more"])
def test_a_file_that_is_no_npz(tmp_path, content) -> None:
    (tmp_path / "no.npz").write_bytes(content)
    assert "cannot be read as an .npz file" in told(tmp_path / "no.npz")


@pytest.mark.parametrize("limit", [0, 1024])
@pytest.mark.parametrize("compress", [True, False])
def test_a_damaged_entry(tmp_path, compress, limit) -> None:
    save = np.savez_compressed if compress else np.savez
    large = np.random.default_rng(0).integers(0, 256, (40, 30, 30), np.uint8)
    save(tmp_path / "cut.npz", train_images=large, train_labels=np.arange(40) % 2)
    content = bytearray((tmp_path / "cut.npz").read_bytes())
    # The local header of the first entry: without it there is no array at this place.
    content[:4] = b"XXXX"
    (tmp_path / "cut.npz").write_bytes(content)
    assert "cut.npz: train_images" in told(tmp_path / "cut.npz", memory_limit_mb=limit)


def test_a_flipped_byte_is_noticed_by_its_checksum(tmp_path) -> None:
    np.savez(tmp_path / "flip.npz", **GOOD)
    content = (tmp_path / "flip.npz").read_bytes()
    place = content.index(IMAGES.tobytes())
    changed = content[:place] + b"\xff" + content[place + 1 :]
    (tmp_path / "flip.npz").write_bytes(changed)
    assert "CRC" in told(tmp_path / "flip.npz")


def test_an_array_shorter_than_its_header_says(tmp_path) -> None:
    np.save(tmp_path / "a.npy", IMAGES)
    with zipfile.ZipFile(tmp_path / "short.npz", "w") as archive:
        archive.writestr("train_images.npy", (tmp_path / "a.npy").read_bytes()[:-5])
        archive.writestr("train_labels.npy", b"")
    message = told(tmp_path / "short.npz", memory_limit_mb=0)
    assert "train_images" in message
    assert "header says" in message


def test_an_encrypted_entry(good) -> None:
    content = bytearray(good.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.index(signature) + offset
        struct.pack_into("<H", content, at, 1)
    good.write_bytes(content)
    assert "good.npz: train_images" in told(good)


def test_a_missing_file_names_the_places_and_the_nearest_name(
    good, monkeypatch, tmp_path_factory
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    monkeypatch.setenv("ROBENCH_DATA", str(good.parent))
    message = told("god.npz")
    assert f"'{Path.cwd() / 'god.npz'}' and '{good.parent / 'god.npz'}'" in message
    assert f"did you mean '{good}'" in message
    monkeypatch.delenv("ROBENCH_DATA")
    assert "ROBENCH_DATA is not set" in told("god.npz")
    assert "ROBENCH_DATA" not in told(good.with_name("god.npz"))


def test_a_path_is_needed_and_must_be_a_file(tmp_path) -> None:
    assert "npz: path: a path is needed" in told(None)
    assert "is not a file" in told(tmp_path)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"image_size": 0}, ["npz: image_size", "got 0"]),
        ({"image_size": 2.5}, ["npz: image_size", "2.5"]),
        ({"image_size": True}, ["npz: image_size", "True"]),
        ({"channels": 2}, ["npz: channels", "1, 3 or null"]),
        ({"limit": 5}, ["npz: limit", "{train: 500, test: 100}"]),
        ({"limit": {"train": 0}}, ["npz: limit: train", "got 0"]),
        ({"limit": {"tset": 3}}, ["npz: limit", "did you mean 'test'"]),
        ({"limit": {"test": 3}}, ["npz: limit", "no test split", "['train', 'validation']"]),
        ({"validation": 1.0}, ["npz: validation", "got 1.0"]),
        ({"validation": "0.1"}, ["npz: validation", "'0.1'"]),
        ({"group_pattern": "("}, ["train_names"]),
        ({"class_names": "ab"}, ["npz: class_names"]),
        ({"memory_limit_mb": "1GB"}, ["npz: memory_limit_mb", "'1GB'"]),
    ],
)
def test_wrong_options(good, options, parts) -> None:
    message = told(good, **options)
    for part in parts:
        assert part in message


def test_validation_is_refused_where_there_is_one_or_no_train(good) -> None:
    np.savez(good, **GOOD, val_images=IMAGES, val_labels=LABELS)
    assert "already have a validation split" in told(good, validation=0.1)
    np.savez(good, test_images=IMAGES, test_labels=LABELS)
    assert "no train split" in told(good, validation=0.1)


def test_group_patterns_that_do_not_work(good) -> None:
    np.savez(good, **GOOD, train_names=np.array(["a1", "a2", "b3", "a4"]))
    message = told(good, group_pattern="(a")
    assert "group_pattern" in message
    assert "not a regular expression" in message
    assert "no group in 'b3'" in told(good, group_pattern=r"a\d")
    assert "not a regular expression" in told(good, group_pattern=3)
