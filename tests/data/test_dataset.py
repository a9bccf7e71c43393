"""The data set: splits, fingerprint, duplicates, arrays."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.data import Dataset, LazyImages, Split


def images(count: int = 60, channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 6, 5, channels), np.uint8)


def labels(count: int = 60) -> np.ndarray:
    return np.arange(count) % 3


def test_from_arrays_splits_every_class_70_15_15() -> None:
    held = Dataset.from_arrays(images(), labels())
    assert held.class_counts("train") == (14, 14, 14)
    assert held.class_counts("val") == (3, 3, 3)
    assert held.class_counts("test") == (3, 3, 3)
    assert (held.name, held.num_classes, held.class_names) == ("arrays", 3, ("0", "1", "2"))
    assert (held.in_channels, held.image_size) == (1, (6, 5))
    assert repr(held) == "<Dataset arrays: train 42, validation 9, test 9; 6×5×1>"


def test_images_labels_and_ids_stay_together() -> None:
    given = images(channels=3)
    held = Dataset.from_arrays(given, labels()[:, None])
    seen = set()
    for split in held.splits.values():
        position = split.image_ids.astype(int)
        assert (split.images == given[position]).all()
        assert (split.labels == position % 3).all()
        assert (split.group_ids == split.image_ids).all()
        assert split.labels.dtype == np.int64
        seen |= set(position.tolist())
    assert seen == set(range(60))


def test_split_by_fractions_and_by_names() -> None:
    two = Dataset.from_arrays(images(), labels(), split={"train": 0.8, "test": 0.2})
    assert two.validation is None
    assert (len(two.train), len(two.test)) == (48, 12)
    names = ["train"] * 30 + ["val"] * 20 + ["validation"] * 5 + ["test"] * 5
    given = Dataset.from_arrays(images(), labels(), split=names)
    assert [len(split) for split in given.splits.values()] == [30, 25, 5]
    assert given.test.image_ids.tolist() == [f"{index:06d}" for index in range(55, 60)]


def test_a_two_dimensional_array_of_grey_images_gains_its_channel() -> None:
    held = Dataset.from_arrays(images()[..., 0], labels())
    assert held.train.images.shape == (42, 6, 5, 1)


def test_groups_and_copies_stay_on_one_side() -> None:
    given = images(90)
    given[60:] = given[:30]
    patients = [f"patient {index // 2}" for index in range(90)]
    held = Dataset.from_arrays(given, labels(90), group_ids=patients)
    crossing = {name: count for name, count in held.duplicates.items() if "-" in name}
    assert crossing == {"train-validation": 0, "train-test": 0, "validation-test": 0}
    assert sum(held.duplicates.values()) == 30
    groups = [set(split.group_ids) for split in held.splits.values()]
    assert sum(map(len, groups)) == len(set().union(*groups))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.sampled_from(["train", "val", "test"])),
        min_size=3,
        max_size=30,
    )
)
def test_duplicates_are_counted_as_brute_force_counts_them(rows) -> None:
    given = np.zeros((len(rows), 2, 2), np.uint8)
    given[:, 0, 0] = [value for value, _ in rows]
    held = Dataset.from_arrays(
        given, np.zeros(len(rows), int), class_names=["a", "b"], split=[name for _, name in rows]
    )
    full = {"train": "train", "val": "validation", "test": "test"}
    content = {name: [v for v, at in rows if full[at] == name] for name in held.splits}
    for name, values in content.items():
        assert held.duplicates[name] == sum(n - 1 for n in Counter(values).values())
        for later in list(content)[list(content).index(name) + 1 :]:
            expected = sum(value in values for value in content[later])
            assert held.duplicates[f"{name}-{later}"] == expected


def test_the_fingerprint_is_stable_across_versions() -> None:
    held = Dataset.from_arrays(
        np.arange(48, dtype=np.uint8).reshape(3, 4, 4), [0, 1, 1], split=["train", "train", "test"]
    )
    assert held.fingerprint == FINGERPRINT


FINGERPRINT = "46154a8aca8e48144b5be1373937f1a391599a7edcf22cfcb94fda3e3d5cd214"


def fingerprint(**changed) -> str:
    settled = {
        "images": images(),
        "labels": labels(),
        "split": ["train"] * 40 + ["test"] * 20,
        "class_names": None,
        "image_ids": None,
        "group_ids": None,
        "name": "a",
        **changed,
    }
    return Dataset.from_arrays(settled.pop("images"), settled.pop("labels"), **settled).fingerprint


def test_the_fingerprint_is_of_the_content_alone() -> None:
    assert fingerprint() == fingerprint(name="b", class_names=["x", "y", "z"])


one_pixel = images()
one_pixel[17, 3, 2, 0] ^= 1
other_label = labels()
other_label[5] = 0


@pytest.mark.parametrize(
    "changed",
    [
        {"images": one_pixel},
        {"images": images().reshape(60, 5, 6)},
        {"labels": other_label},
        {"class_names": ["a", "b", "c", "d"]},
        {"image_ids": [f"x{index}" for index in range(60)]},
        {"group_ids": ["p"] * 60},
        {"split": ["train"] * 40 + ["val"] * 20},
        {"split": ["train"] * 41 + ["test"] * 19},
    ],
)
def test_the_fingerprint_changes_with_what_it_covers(changed) -> None:
    assert fingerprint(**changed) != fingerprint()


def test_select_takes_ints_slices_and_masks() -> None:
    split = Dataset.from_arrays(images(), labels()).train
    for index in (np.array([4, 1, -1]), slice(3, 9, 2), split.labels == 1, [0]):
        chosen = split.select(index)
        assert (chosen.images[:] == split.images[index]).all()
        assert (chosen.image_ids == split.image_ids[index]).all()
        assert (chosen.digests == split.digests[index]).all()


class Streamed(LazyImages):
    """A third party's source: image i is filled with i."""

    def read(self, indices):
        return np.broadcast_to(indices[:, None, None, None], (len(indices), 4, 4, 1)).astype(
            np.uint8
        )


def test_a_third_party_streams_with_a_source_of_its_own() -> None:
    ids = np.array([f"s{index}" for index in range(20)])
    split = Split.of(Streamed((20, 4, 4, 1)), np.arange(20) % 2, ids)
    held = Dataset("mine", class_names=["even", "odd"], test=split)
    assert len(np.unique(split.digests)) == 20
    assert isinstance(split.select([3, 4]).images, LazyImages)
    assert split.select([3, 4]).images[:][:, 0, 0, 0].tolist() == [3, 4]
    array = Dataset(
        "else", class_names=["e", "o"], test=Split.of(split.images[:], split.labels, ids)
    )
    assert held.fingerprint == array.fingerprint


def test_data_sets_do_without_torch() -> None:
    modules = ["digits", "npz", "folder", "medmnist"]
    code = "import sys\n" + "".join(f"import robench.data.{name}\n" for name in modules)
    loaded = "print([name for name in ('torch', 'medmnist') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code + loaded], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
