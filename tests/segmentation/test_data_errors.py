"""What masks_npz refuses, and what it says: file, array, got, expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robench.errors import UserError
from robench.segmentation import MaskSplit, masks_npz

IMAGES = np.zeros((4, 6, 5, 3), np.uint8)
MASKS = np.zeros((4, 6, 5), np.uint8)
MASKS[2] = 1
GOOD: dict[str, Any] = {"train_images": IMAGES, "train_masks": MASKS}


def told(path: Path | str, **options: Any) -> str:
    with pytest.raises(UserError) as error:
        masks_npz(path, **options)
    assert len(str(error.value).splitlines()) <= 2
    return str(error.value)


@pytest.mark.parametrize(
    ("arrays", "parts"),
    [
        ({"train_images": IMAGES}, ["there is no array 'train_masks'"]),
        ({"train_masks": MASKS}, ["there is no array 'train_images'"]),
        ({"images": IMAGES, "train_mask": MASKS}, ["no split", "'train_mask' looks close"]),
        ({**GOOD, "train_images": IMAGES / 255}, ["train_images", "uint8", "float64"]),
        ({**GOOD, "train_masks": MASKS.astype(float)}, ["train_masks", "float64", "uint8"]),
        ({**GOOD, "train_masks": MASKS[:3]}, ["train_masks", "(3, 6, 5)", "(4, 6, 5)"]),
        ({**GOOD, "train_masks": MASKS[:, :5]}, ["number or size", "(4, 5, 5)", "(4, 6, 5)"]),
        ({**GOOD, "train_masks": IMAGES}, ["train_masks", "(4, 6, 5, 3)"]),
        ({**GOOD, "train_masks": MASKS * 255}, ["'train'[2]", "no class", "got 255", "0..1"]),
        ({**GOOD, "test_images": IMAGES, "test_masks": MASKS * 2}, ["'test'[2]", "got 2"]),
        ({**GOOD, "train_names": np.array(["a", "b"])}, ["train_names", "4 strings"]),
        ({**GOOD, "train_names": np.array(list("abca"))}, ["train_names", "unique", "a more"]),
        ({**GOOD, "train_masks": MASKS.astype(object)}, ["train_masks", "objects"]),
    ],
)
def test_wrong_arrays(tmp_path: Path, arrays: dict[str, Any], parts: list[str]) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    message = told(tmp_path / "bad.npz")
    assert str(tmp_path / "bad.npz") in message
    assert all(part in message for part in parts), message


@pytest.mark.parametrize("num_classes", [1, 257, True, 2.0])
def test_wrong_number_of_classes(tmp_path: Path, num_classes: object) -> None:
    np.savez(tmp_path / "good.npz", **GOOD)
    message = told(tmp_path / "good.npz", num_classes=num_classes)
    assert "num_classes" in message
    assert "2 to 256" in message


def test_no_file(tmp_path: Path) -> None:
    (tmp_path / "masks.npz").write_bytes(b"no zip")
    assert "did you mean" in told(tmp_path / "mask.npz")
    assert "cannot be read" in told(tmp_path / "masks.npz")
    assert "not a file" in told(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        ({"images": IMAGES[..., 0]}, "N×H×W×C"),
        ({"masks": MASKS[:2]}, "masks do not fit"),
        ({"masks": MASKS.astype(np.int64)}, "int64"),
        ({"image_ids": np.array(["a"])}, "image_ids"),
        ({"image_ids": np.array(list("aabc"))}, "unique"),
    ],
)
def test_splits_that_do_not_fit(wrong: dict[str, Any], part: str) -> None:
    good = {"images": IMAGES, "masks": MASKS, "image_ids": np.array(list("abcd"))}
    MaskSplit(**good)
    with pytest.raises(UserError, match=part):
        MaskSplit(**{**good, **wrong})
