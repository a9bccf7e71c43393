"""The data set: up to three splits of labelled images, and the hash of what they hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from robench.data import arrays
from robench.data.allocation import split_name
from robench.data.digests import count_duplicates
from robench.data.sources import DECODER_VERSION
from robench.data.split import Split, divide
from robench.errors import UserError
from robench.keys import key_of


class Dataset:
    """A named set of labelled images in up to three splits; a split it lacks is None.

    A third party that streams passes splits with its own image source, or subclasses this.
    Raises UserError where the splits do not fit together.
    """

    def __init__(
        self,
        name: str,
        *,
        class_names: Sequence[str],
        train: Split | None = None,
        validation: Split | None = None,
        test: Split | None = None,
    ) -> None:
        self.name = name
        self.train = train
        self.validation = validation
        self.test = test
        if not self.splits:
            raise UserError("a data set needs at least one split", where=name)
        shapes = {split: tuple(held.images.shape[1:]) for split, held in self.splits.items()}
        if len(set(shapes.values())) > 1:
            raise UserError("the splits differ in image shape", where=name, got=shapes)
        self.class_names = arrays.check_class_names(
            class_names,
            {f"{name}: {split}": held.labels for split, held in self.splits.items()},
            where=f"{name}: class_names",
        )
        ids = np.concatenate([held.image_ids for held in self.splits.values()])
        arrays.check_unique(ids, where=f"{name}: image_ids")

    @property
    def splits(self) -> dict[str, Split]:
        """The splits there are, by name, in the order train, validation, test."""
        held = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in held.items() if split is not None}

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def in_channels(self) -> int:
        """1 (grey) or 3 (colour)."""
        return int(self._image_shape[2])

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return int(self._image_shape[0]), int(self._image_shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hexadecimal) of what the data set holds: never of where it lies.

        Covers ids, labels, groups and digests of each split in order, the number of classes,
        the shape the images are given in, and the version of the decoding code.
        """
        return key_of(
            decoder=DECODER_VERSION,
            num_classes=self.num_classes,
            image_shape=[int(length) for length in self._image_shape],
            splits={name: _content(split) for name, split in self.splits.items()},
        )

    @cached_property
    def duplicates(self) -> dict[str, int]:
        """Byte-identical images, as stored: {"train-test": …, …, "train": …, …}.

        "a-b" is the number of images of split b whose content also stands in split a; "a" the
        number of surplus copies inside it. Only for splits that the data set has.
        """
        return count_duplicates({name: split.digests for name, split in self.splits.items()})

    def class_counts(self, split: str) -> tuple[int, ...]:
        """The number of images of each class in a split, by its name."""
        name = split_name(split, where=self.name)
        if name not in self.splits:
            raise UserError(f"there is no {name} split", where=self.name, got=list(self.splits))
        counts = np.bincount(self.splits[name].labels, minlength=self.num_classes)
        return tuple(int(count) for count in counts)

    @classmethod
    def from_arrays(
        cls,
        images: object,
        labels: object,
        *,
        class_names: Sequence[str] | None = None,
        split: Mapping[str, float] | Sequence[str] | None = None,
        name: str = "arrays",
        image_ids: object = None,
        group_ids: object = None,
    ) -> Dataset:
        """A data set of arrays.

        `images`: uint8 N×H×W or N×H×W×C, C 1 or 3. `labels`: integers 0..K-1, (N,) or (N,1).
        `split`: the split name of each image, or fractions such as {"train": 0.7, "test": 0.3}
        (None: 70/15/15), which divide each class and keep groups and copies together.
        `image_ids`: unique (None: the position, "000123"). `group_ids`: None is the image id.
        Raises UserError for float images, labels out of range, fewer than two classes.
        """
        checked = arrays.check_images(images, where=f"{name}: images")
        count = len(checked)
        numbers = arrays.check_labels(labels, count=count, where=f"{name}: labels")
        names = arrays.check_class_names(
            class_names, {f"{name}: labels": numbers}, where=f"{name}: class_names"
        )
        ids = (
            np.array([f"{index:06d}" for index in range(count)])
            if image_ids is None
            else arrays.check_ids(image_ids, count=count, where=f"{name}: image_ids")
        )
        groups = (
            None
            if group_ids is None
            else arrays.check_ids(group_ids, count=count, where=f"{name}: group_ids")
        )
        whole = Split.of(checked, numbers, ids, group_ids=groups)
        return Dataset(name, class_names=names, **divide(whole, split, where=f"{name}: split"))

    def __repr__(self) -> str:
        held = ", ".join(f"{name} {len(split)}" for name, split in self.splits.items())
        height, width = self.image_size
        return f"<Dataset {self.name}: {held}; {height}×{width}×{self.in_channels}>"

    @property
    def _image_shape(self) -> tuple[int, ...]:
        return next(iter(self.splits.values())).images.shape[1:]


def _content(split: Split) -> str:
    content = hashlib.sha256()
    for held in (split.image_ids, split.group_ids):
        content.update(json.dumps(held.tolist()).encode())
    content.update(split.labels.astype("<i8").tobytes())
    for digest in split.digests.tolist():
        content.update(digest if isinstance(digest, bytes) else digest.encode())
    return content.hexdigest()
