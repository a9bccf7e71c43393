"""What from_arrays, Split and Dataset refuse, and what they say."""

from __future__ import annotations

import numpy as np
import pytest

from robench.data import Dataset, Split
from robench.errors import UserError

IMAGES = np.zeros((6, 4, 4), np.uint8)
LABELS = [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"images": IMAGES / 255}, ["images", "uint8", "float64"]),
        ({"images": IMAGES[0]}, ["images", "(4, 4)", "N×H×W"]),
        ({"images": np.zeros((6, 4, 4, 2), np.uint8)}, ["(6, 4, 4, 2)", "C 1 or 3"]),
        ({"images": IMAGES[:0], "labels": []}, ["at least one image"]),
        ({"images": [[[1]], [[1, 2]]]}, ["images", "not an array"]),
        ({"labels": LABELS[:5]}, ["labels", "got 5", "expected 6"]),
        ({"labels": [0.0, 1.0] * 3}, ["labels", "float64", "integers"]),
        ({"labels": np.eye(6, dtype=int)}, ["labels", "multi-label", "(6, 6)"]),
        ({"labels": [0, 1, -1, 1, -7, 1]}, ["labels[2]", "got -1"]),
        ({"labels": np.array([0, 1, 2**63, 0, 0, 0], np.uint64)}, ["labels[2]", "too large"]),
        ({"labels": [1, 2, 1, 2, 1, 2]}, ["no image has label 0", "class_names"]),
        ({"labels": [0, 1, 7, 1, 0, 1]}, ["no image has label 2", "one has 7"]),
        ({"labels": [0] * 6}, ["two classes"]),
        ({"class_names": ["a", "b"], "labels": [0, 1, 0, 2, 3, 1]}, ["labels[3]", "got 2", "0..1"]),
        ({"class_names": ["a"]}, ["class_names", "two or more"]),
        ({"class_names": "ab"}, ["class_names", "'ab'"]),
        ({"class_names": [False, True]}, ["class_names", "quote"]),
        ({"class_names": ["a", "a"]}, ["class_names", "differ"]),
        ({"image_ids": list("aabcde")}, ["image_ids", "a more than once"]),
        ({"image_ids": list("abc")}, ["image_ids", "6 strings"]),
        ({"group_ids": [0.5] * 6}, ["group_ids", "float64"]),
        ({"split": "train"}, ["split", "'train'"]),
        ({"split": ["train"] * 5}, ["split", "5 names", "6 names"]),
        ({"split": ["train"] * 5 + ["tset"]}, ["split[5]", "tset", "did you mean 'test'"]),
        ({"split": {"train": 0.5, "test": 0.6}}, ["split", "sum"]),
        ({"split": {"train": 1.5, "test": -0.5}}, ["split: train", "1.5"]),
        ({"split": {"train": True}}, ["split: train", "True"]),
        ({"split": {"trian": 1.0}}, ["trian", "did you mean 'train'"]),
        ({"split": {"val": 0.5, "validation": 0.5}}, ["'validation' stands twice"]),
        ({"group_ids": ["one"] * 6}, ["none is left for", "6 images in 1 groups"]),
    ],
)
def test_from_arrays_refuses(changed, told) -> None:
    settled = {"images": IMAGES + np.arange(6, dtype=np.uint8)[:, None, None], "labels": LABELS}
    settled |= changed
    with pytest.raises(UserError) as error:
        Dataset.from_arrays(settled.pop("images"), settled.pop("labels"), name="mine", **settled)
    for part in told:
        assert part in str(error.value)
    assert len(str(error.value).splitlines()) <= 2


def split(prefix: str = "a", **changed) -> Split:
    settled = {
        "images": IMAGES[..., None],
        "labels": np.array(LABELS),
        "image_ids": np.array([f"{prefix}{index}" for index in range(6)]),
        **changed,
    }
    return Split.of(**settled)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"images": IMAGES}, "N×H×W×C"),
        ({"images": IMAGES[..., None].astype(np.float32)}, "float32"),
        ({"labels": np.array(LABELS[:5])}, "labels do not fit"),
        ({"labels": np.array(LABELS, np.int32)}, "int64"),
        ({"group_ids": np.array(["a"])}, "group_ids do not fit"),
        ({"image_ids": np.array(["a"] * 6)}, "unique"),
    ],
)
def test_a_split_refuses(changed, told) -> None:
    with pytest.raises(UserError, match=told):
        split(**changed)


def test_an_empty_selection_is_refused() -> None:
    with pytest.raises(UserError, match="N at least 1"):
        split().select([])


def test_a_data_set_refuses_what_does_not_fit_together() -> None:
    names = ["a", "b"]
    with pytest.raises(UserError, match="at least one split"):
        Dataset("d", class_names=names)
    with pytest.raises(UserError, match="unique"):
        Dataset("d", class_names=names, train=split(), test=split())
    larger = split("b", images=np.zeros((6, 5, 4, 1), np.uint8))
    with pytest.raises(UserError, match="differ in image shape"):
        Dataset("d", class_names=names, train=split(), test=larger)
    unnamed = split("b", labels=np.array([0, 2, 0, 0, 0, 0]))
    with pytest.raises(UserError, match=r"d: test\[1\].*out of range"):
        Dataset("d", class_names=names, train=split(), test=unnamed)


def test_class_counts_of_a_split_that_is_not_there() -> None:
    held = Dataset("d", class_names=["a", "b"], test=split())
    with pytest.raises(UserError, match="no train split"):
        held.class_counts("train")
    with pytest.raises(UserError, match="did you mean 'test'"):
        held.class_counts("tests")
