"""The conformance of a data set: what the rest of robench reads from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.data import Dataset, Split
from robench.errors import UserError
from robench.testing.core import Check, NotApplicable, expect, run, run_first, told
from robench.testing.randomness import seeded, unnoticed
from robench.testing.stated import check_settings, checked_with, refusal

_OTHER_SIZE = 24
_PROBED = 12


@dataclass(frozen=True)
class Subject:
    """A data set and `load`, which loads it anew with other settings."""

    dataset: Dataset
    load: Callable[..., Dataset]


def check_dataset(factory: Callable[..., Dataset], **params: Any) -> list[Check]:
    """Check `factory(*, image_size=None, **params)`, which gives a `robench.Dataset`.

    Of each split a dozen images are read; the data set is loaded three times.
    """
    return list(dataset_checks(factory, checked_with(factory, params)))


def dataset_checks(
    factory: Callable[..., Dataset], params: Mapping[str, Any]
) -> Iterator[Check]:
    """As `check_dataset`, each check as it ends, without the settings of an attached card."""
    loaded: list[Dataset] = []
    whole = yield from run_first({
        "settings": lambda: check_settings(factory, "dataset", params),
        "builds": lambda: _builds(partial(factory, **params), loaded),
    }, harmless=("settings",))
    if not whole:
        return

    def load(**changed: Any) -> Dataset:
        return factory(**{**params, **changed})

    yield from run(_CHECKS, Subject(loaded[0], load))


def _builds(load: Callable[[], Dataset], loaded: list[Dataset]) -> str:
    with seeded(0):
        dataset = load()
    expect(isinstance(dataset, Dataset), type(dataset).__name__,
           "a robench.Dataset, as Dataset.from_arrays makes it")
    loaded.append(dataset)
    return repr(dataset)


def _test_split(subject: Subject) -> str:
    expect(subject.dataset.test is not None, f"the splits {', '.join(subject.dataset.splits)}",
           "a test split: its images are attacked")
    return f"{len(subject.dataset.splits['test'])} images"


def _images(subject: Subject) -> str:
    dataset = subject.dataset
    expected = (*dataset.image_size, dataset.in_channels)
    expect(dataset.in_channels in (1, 3), f"{dataset.in_channels} channels", "1 or 3")
    for name, split in dataset.splits.items():
        held = split.images
        got = f"{held.dtype} {tuple(held.shape)} in {name}"
        expect(held.dtype == np.uint8 and tuple(held.shape) == (len(split), *expected), got,
               f"uint8 {(len(split), *expected)}")
        read = np.asarray(held[: min(_PROBED, len(split))])
        expect(read.dtype == np.uint8 and read.shape[1:] == expected,
               f"{read.dtype} {read.shape} when images of {name} are read",
               f"uint8 N×{'×'.join(map(str, expected))}")
    return f"uint8 N×{'×'.join(map(str, expected))}"


def _labels(subject: Subject) -> str:
    classes = subject.dataset.num_classes
    for name, split in subject.dataset.splits.items():
        labels = split.labels
        expect(labels.dtype == np.int64 and labels.shape == (len(split.images),),
               f"{labels.dtype} {labels.shape} in {name}", f"int64 ({len(split.images)},)")
        low, high = int(labels.min()), int(labels.max())
        expect(low >= 0 and high < classes, f"labels {low} to {high} in {name}",
               f"0 to {classes - 1}")
    return f"{classes} classes"


def _class_names(subject: Subject) -> str:
    names = subject.dataset.class_names
    classes = subject.dataset.num_classes
    fits = all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
    expect(fits and len(names) == classes and classes >= 2, repr(names)[:120],
           f"{max(classes, 2)} different words")
    return ", ".join(names[:12]) + (" …" if classes > 12 else "")


def _ids(subject: Subject) -> str:
    splits = subject.dataset.splits
    for name, split in splits.items():
        for what, ids in (("image_ids", split.image_ids), ("group_ids", split.group_ids)):
            expect(ids.dtype.kind == "U" and ids.shape == (len(split),),
                   f"{what} of {ids.dtype} {ids.shape} in {name}", f"str ({len(split)},)")
    every = np.concatenate([split.image_ids for split in splits.values()])
    unique = len(np.unique(every))
    expect(unique == len(every), f"{unique} ids for {len(every)} images", "an id for each")
    groups = np.unique(np.concatenate([split.group_ids for split in splits.values()]))
    return f"{len(every)} images in {len(groups)} groups"


def _indexing(subject: Subject) -> str:
    for name, split in subject.dataset.splits.items():
        count = min(_PROBED, len(split))
        first = np.asarray(split.images[:count])
        for what, index in _indices(count, len(split)).items():
            got = np.asarray(split.images[index])
            expected = first[np.arange(len(split))[index]]
            expect(np.array_equal(got, expected), f"other images of {name} by {what}",
                   "those that a slice from the start gives")
    return "by int, slice, ints and mask"


def _indices(count: int, total: int) -> dict[str, Any]:
    mask: NDArray[np.bool_] = np.zeros(total, dtype=bool)
    mask[:count:2] = True
    return {"an int": count - 1, "a slice": slice(1, count, 2),
            "an array of ints": np.array([count - 1, 0, 0, count // 2]), "a mask": mask}


def _selects(subject: Subject) -> str:
    split: Split = next(iter(subject.dataset.splits.values()))
    rows = np.array([len(split) - 1, 0])
    part = split.select(rows)
    same = (np.array_equal(part.labels, split.labels[rows])
            and np.array_equal(part.image_ids, split.image_ids[rows])
            and np.array_equal(np.asarray(part.images[:]), np.asarray(split.images[rows])))
    expect(same, "other images by split.select([-1, 0])", "the last and the first one")
    return ""


def _same_again(subject: Subject) -> str:
    with seeded(1):
        again = subject.load()
    expect(again.fingerprint == subject.dataset.fingerprint,
           "another fingerprint when it is loaded again, in another global random state",
           "the same: images, labels and splits must not depend on chance")
    return subject.dataset.fingerprint[:12]


def _image_size(subject: Subject) -> str:
    size = _OTHER_SIZE if subject.dataset.image_size != (_OTHER_SIZE,) * 2 else 2 * _OTHER_SIZE
    try:
        resized = subject.load(image_size=size)
    except UserError as error:
        raise NotApplicable(f"declined: {refusal(error)}") from error
    except TypeError as error:
        expect(False, f"{told(error)} for image_size={size}", "the setting image_size")
        raise
    expect(resized.image_size == (size, size), f"{resized.image_size} for image_size={size}",
           f"{(size, size)}")
    read = np.asarray(next(iter(resized.splits.values())).images[:1])
    expect(read.shape[1:3] == (size, size), f"images of {read.shape} for image_size={size}",
           f"{size}×{size}")
    return f"{size}×{size}"


def _leaves_randomness_alone(subject: Subject) -> str:
    unnoticed(subject.load)
    return ""


_CHECKS: dict[str, Callable[[Subject], str]] = {
    "test split": _test_split,
    "images": _images,
    "labels": _labels,
    "class names": _class_names,
    "ids": _ids,
    "indexing": _indexing,
    "selects": _selects,
    "same fingerprint again": _same_again,
    "image_size": _image_size,
    "leaves the global random state": _leaves_randomness_alone,
}
