"""Data sets that break their contract are caught, by the check that says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import robench
from robench import Dataset, Split
from robench.testing import Check, check_dataset

FRACTIONS = {"train": 0.5, "test": 0.5}


def failed(checks: list[Check]) -> set[str]:
    return {check.name for check in checks if not check.passed}


def arrays(count: int = 40, side: int = 6) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, size=(count, side, side, 1), dtype=np.uint8)
    return images, np.arange(count) % 2


def good(*, image_size: int | None = None, count: int = 40) -> Dataset:
    return Dataset.from_arrays(*arrays(count, image_size or 6), split=FRACTIONS)


def test_a_good_data_set_passes_every_check() -> None:
    checks = check_dataset(good, count=30)
    assert failed(checks) == set()
    assert len(checks) == 12


class Source:
    """A source that reads as one would hope, until a subclass changes it."""

    def __init__(self, images: np.ndarray) -> None:
        self.held = images
        self.shape = images.shape
        self.dtype = images.dtype

    def __len__(self) -> int:
        return len(self.held)

    def __getitem__(self, index: Any) -> np.ndarray:
        return self.held[index]


class Floats(Source):
    def __getitem__(self, index: Any) -> np.ndarray:
        return self.held[index] / np.float32(255)


class NoMasks(Source):
    def __getitem__(self, index: Any) -> np.ndarray:
        return self.held[np.asarray(index, dtype=int)] if isinstance(index, np.ndarray) \
            else self.held[index]


def streamed(source: type[Source]) -> Any:
    def load(*, image_size: int | None = None) -> Dataset:
        images, labels = arrays(side=image_size or 6)
        ids = np.array([f"{row:03d}" for row in range(len(labels))])
        digests = np.char.encode(ids)
        return Dataset("streamed", class_names=["a", "b"], test=Split(
            source(images), labels, ids, ids, digests,
        ))

    return load


def shuffled(*, image_size: int | None = None) -> Dataset:
    images, labels = arrays(side=image_size or 6)
    order = np.random.permutation(len(labels))
    return Dataset.from_arrays(images[order], labels[order], split=FRACTIONS)


def seeded(*, image_size: int | None = None) -> Dataset:
    np.random.seed(0)
    return good(image_size=image_size)


def without_test(*, image_size: int | None = None) -> Dataset:
    images, labels = arrays(side=image_size or 6)
    return Dataset.from_arrays(images, labels, split=["train"] * len(labels))


class Renamed(Dataset):
    class_names: Any = ("only one",)

    def __init__(self, base: Dataset) -> None:
        super().__init__("renamed", class_names=base.class_names, test=base.test)
        self.class_names = ("one", "one")


BAD = {
    "float pixels when read": (streamed(Floats), {"images"}),
    "no boolean masks": (streamed(NoMasks), {"indexing"}),
    "another split every time": (
        shuffled, {"same fingerprint again", "leaves the global random state"}
    ),
    "a global seed": (seeded, {"leaves the global random state"}),
    "no test split": (without_test, {"test split"}),
    "image_size ignored": (lambda *, image_size=None: good(), {"image_size"}),
    "image_size unknown": (lambda: good(), {"image_size"}),
    "a class named twice": (
        lambda *, image_size=None: Renamed(good(image_size=image_size)), {"class names"}
    ),
    "a tuple": (lambda *, image_size=None: arrays(), {"builds"}),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_data_set_fails_its_check_and_no_other(case: str) -> None:
    factory, expected = BAD[case]
    assert failed(check_dataset(factory)) == expected


def test_a_streaming_source_that_reads_right_passes() -> None:
    assert failed(check_dataset(streamed(Source))) == set()


def test_float_images_do_not_become_a_data_set_and_the_reason_is_told() -> None:
    def floats(*, image_size: int | None = None) -> Dataset:
        images, labels = arrays()
        return Dataset.from_arrays(images / 255, labels, split=FRACTIONS)

    checks = check_dataset(floats)
    assert failed(checks) == {"builds"}
    assert "images must be uint8" in checks[-1].message


def test_a_data_set_of_one_size_may_decline_others() -> None:
    def fixed(*, image_size: int | None = None) -> Dataset:
        if image_size is not None:
            raise robench.UserError("has one size")
        return good()

    checks = check_dataset(fixed)
    assert failed(checks) == set()
    (declined,) = (check for check in checks if check.name == "image_size")
    assert (declined.applies, declined.message) == (False, "declined: has one size")


def test_a_setting_without_a_default_is_caught_unless_it_is_given() -> None:
    def loads(*, path: str, image_size: int | None = None) -> Dataset:
        return good(image_size=image_size)

    assert failed(check_dataset(loads, path="here")) == set()
    assert failed(check_dataset(loads)) == {"settings", "builds"}
