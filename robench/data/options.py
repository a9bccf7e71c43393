"""The options that built-in data sets share: size, channels, limit, validation, groups."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.data.allocation import hash_order, split_name
from robench.data.dataset import Dataset
from robench.data.sources import ConvertedImages
from robench.data.split import Split, divide
from robench.errors import UserError

DEFAULT_VALIDATION = 0.1


@dataclass(frozen=True)
class Options:
    """What is done to the splits of a source before they are a data set.

    `image_size`: side in pixels of the square that images are resized to, or None.
    `channels`: 1 (grey), 3 (colour) or None (as stored).
    `limit`: the number of images kept of a split, chosen by a hash of the image id.
    `validation`: the fraction of train that becomes the validation split where the source has
    none; None is 0.1, 0 is none. An error where the source has a validation split.
    """

    name: str
    image_size: int | None = None
    channels: int | None = None
    limit: Mapping[str, int] | None = None
    validation: float | None = None

    def __post_init__(self) -> None:
        if self.image_size is not None and not _is_count(self.image_size):
            raise self._error("image_size", self.image_size, "a whole number of pixels, or null")
        if self.channels is not None and (
            not _is_count(self.channels) or self.channels not in (1, 3)
        ):
            raise self._error("channels", self.channels, "1, 3 or null")
        if self.validation is not None and not (
            isinstance(self.validation, (int, float))
            and not isinstance(self.validation, bool)
            and 0 <= self.validation < 1
        ):
            raise self._error("validation", self.validation, "0 <= fraction < 1, or null")
        if self.limit is not None and not isinstance(self.limit, Mapping):
            raise self._error("limit", self.limit, "a mapping such as {train: 500, test: 100}")
        for split, count in (self.limit or {}).items():
            split_name(split, where=f"{self.name}: limit")
            if not _is_count(count):
                raise self._error(f"limit: {split}", count, "a whole number of images, 1 or more")

    def apply(self, splits: Mapping[str, Split], *, class_names: Sequence[str]) -> Dataset:
        """The data set of `splits` (as the source holds them) under these options."""
        held = self._with_validation(dict(splits))
        for given, count in (self.limit or {}).items():
            split = split_name(given, where=f"{self.name}: limit")
            if split not in held:
                raise self._error(f"limit: there is no {split} split", list(held), None)
            held[split] = _limited(held[split], count)
        converted = {split: self._converted(part) for split, part in held.items()}
        return Dataset(self.name, class_names=class_names, **converted)

    def _with_validation(self, splits: dict[str, Split]) -> dict[str, Split]:
        where = f"{self.name}: validation"
        if self.validation is not None and "validation" in splits:
            raise UserError(
                "the data already have a validation split",
                where=where,
                got=self.validation,
                expected="null: leave the option out",
            )
        if self.validation is not None and "train" not in splits:
            raise UserError("there is no train split to take it from", where=where)
        fraction = DEFAULT_VALIDATION if self.validation is None else float(self.validation)
        if "validation" in splits or "train" not in splits or not fraction:
            return splits
        parts = {"train": 1 - fraction, "validation": fraction}
        return splits | divide(splits["train"], parts, where=where, salt="validation")

    def _converted(self, split: Split) -> Split:
        _, height, width, channels = split.images.shape
        size = (height, width) if self.image_size is None else (self.image_size, self.image_size)
        wanted = self.channels or channels
        if (*size, wanted) == (height, width, channels):
            return split
        return Split(
            ConvertedImages(split.images, image_size=size, channels=wanted),
            split.labels,
            split.image_ids,
            split.group_ids,
            split.digests,
        )

    def _error(self, parameter: str, got: object, expected: str | None) -> UserError:
        return UserError(
            "not a possible value" if expected else "cannot be applied",
            where=f"{self.name}: {parameter}",
            got=got,
            expected=expected,
        )


def groups_of(names: Iterable[str], pattern: str, *, where: str) -> NDArray[np.str_]:
    """The group of each file name: the first group of the regular expression, else its match.

    UserError for an invalid expression and for a name that it does not match.
    """
    try:
        expression = re.compile(pattern)
    except (re.error, TypeError) as error:
        raise UserError(
            f"not a regular expression ({error})", where=f"{where}: group_pattern", got=pattern
        ) from error
    groups = []
    for name in names:
        match = expression.search(name)
        found = match and match.group(1 if expression.groups else 0)
        if not found:
            raise UserError(
                f"the pattern finds no group in '{name}'",
                where=f"{where}: group_pattern",
                got=pattern,
                expected="a pattern that matches every file name",
            )
        groups.append(found)
    return np.array(groups)


def _limited(split: Split, count: int) -> Split:
    if count >= len(split):
        return split
    # In the order of the source, so that a limit changes which images there are and no more.
    return split.select(np.sort(hash_order(split.image_ids, salt="limit")[:count]))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
