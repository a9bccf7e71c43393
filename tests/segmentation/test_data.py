"""Images with masks out of .npz files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robench.segmentation import masks_npz

IMAGES = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
MASKS = (IMAGES % 2).astype(np.uint8)


def test_splits_names_and_shapes(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", train_images=IMAGES, train_masks=MASKS,
             train_names=np.array([b"p", b"q", b"r", b"s"]),
             val_images=IMAGES[:2], val_masks=MASKS[:2, ..., None].astype(bool),
             test_images=np.stack([IMAGES] * 3, axis=-1)[:1], test_masks=MASKS[:1])
    held = masks_npz(tmp_path / "m.npz")
    assert held.train is not None
    assert held.validation is not None
    assert held.test is not None
    assert held.train.images.shape == (4, 5, 3, 1)
    assert held.train.image_ids.tolist() == ["p", "q", "r", "s"]
    assert held.validation.image_ids.tolist() == ["val/000000", "val/000001"]
    assert held.validation.masks.dtype == np.uint8
    assert (held.validation.masks == MASKS[:2]).all()
    assert held.test.images.shape == (1, 5, 3, 3)


def test_a_missing_split_is_none_and_more_classes_are_allowed(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "m.npz", test_images=IMAGES, test_masks=IMAGES % 3)
    held = masks_npz(tmp_path / "m.npz", num_classes=3)
    assert held.train is held.validation is None
    assert held.test is not None
    assert held.test.masks.max() == 2


def test_the_folder_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    np.savez(tmp_path / "elsewhere" / "m.npz", test_images=IMAGES, test_masks=MASKS)
    monkeypatch.setenv("ROBENCH_DATA", str(tmp_path / "elsewhere"))
    assert masks_npz("m.npz").name == str(tmp_path / "elsewhere" / "m.npz")


def test_select(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", test_images=IMAGES, test_masks=MASKS)
    split = masks_npz(tmp_path / "m.npz").test
    assert split is not None
    chosen = split.select([2, 0])
    assert chosen.image_ids.tolist() == ["test/000002", "test/000000"]
    assert (chosen.masks == MASKS[[2, 0]]).all()
    assert (chosen.images[..., 0] == IMAGES[[2, 0]]).all()
    assert len(split.select(slice(1, None))) == 3
