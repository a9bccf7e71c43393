"""A split: images with labels, ids, groups and digests; and the division of one into several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.data.allocation import (
    DEFAULT_FRACTIONS,
    SPLIT_NAMES,
    allocate,
    check_fractions,
    check_split_names,
    clusters,
)
from robench.data.arrays import check_unique
from robench.data.digests import image_digests
from robench.data.sources import ImageSource, SelectedImages
from robench.errors import UserError


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """Images with what is known of each.

    `images`: uint8 N×H×W×C, an array or a source read like one. `labels`: int64 (N,).
    `image_ids`: str (N,), unique. `group_ids`: str (N,), equal for images that belong together
    (a patient). `digests`: bytes (N,), equal for byte-identical images.
    Raises UserError where these do not fit together. `Split.of` fills in what is missing.
    """

    images: ImageSource
    labels: NDArray[np.int64]
    image_ids: NDArray[np.str_]
    group_ids: NDArray[np.str_]
    digests: NDArray[np.bytes_]

    def __post_init__(self) -> None:
        if len(self.images.shape) != 4 or self.images.dtype != np.uint8 or not len(self.images):
            raise UserError(
                "the images of a split do not fit",
                got=f"dtype {self.images.dtype}, shape {self.images.shape}",
                expected="dtype uint8, N×H×W×C, N at least 1",
            )
        for name in ("labels", "image_ids", "group_ids", "digests"):
            held: NDArray[Any] = getattr(self, name)
            if held.shape != (len(self.images),):
                raise UserError(
                    f"{name} do not fit the images of a split",
                    got=f"shape {held.shape}",
                    expected=f"({len(self.images)},)",
                )
        if self.labels.dtype != np.int64:
            raise UserError("labels must be int64", got=f"dtype {self.labels.dtype}")
        check_unique(self.image_ids, where="image_ids")

    @classmethod
    def of(
        cls,
        images: ImageSource,
        labels: NDArray[np.int64],
        image_ids: NDArray[np.str_],
        *,
        group_ids: NDArray[np.str_] | None = None,
        digests: NDArray[np.bytes_] | None = None,
    ) -> Split:
        """A split; every image its own group and, read once for it, its digest, if not given."""
        return cls(
            images,
            labels,
            image_ids,
            image_ids if group_ids is None else group_ids,
            image_digests(images) if digests is None else digests,
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"<Split: {len(self)} images {'×'.join(map(str, self.images.shape[1:]))}>"

    def select(self, indices: Any) -> Split:
        """The images at `indices` (ints, a slice or a boolean mask), in that order."""
        chosen = np.arange(len(self))[indices]
        in_memory = isinstance(self.images, np.ndarray) and not isinstance(self.images, np.memmap)
        return Split(
            self.images[chosen] if in_memory else SelectedImages(self.images, chosen),
            self.labels[chosen],
            self.image_ids[chosen],
            self.group_ids[chosen],
            self.digests[chosen],
        )


def divide(
    whole: Split,
    split: Mapping[str, float] | Sequence[str] | None,
    *,
    where: str,
    salt: str = "split",
) -> dict[str, Split]:
    """`whole` in parts, by fractions (None: 70/15/15) or by the split name of each image."""
    if split is None or isinstance(split, Mapping):
        fractions = check_fractions(DEFAULT_FRACTIONS if split is None else split, where=where)
        joined = clusters(whole.group_ids, whole.digests)
        given = allocate(whole.labels, whole.image_ids, joined, fractions, salt=salt, where=where)
    else:
        given = check_split_names(split, count=len(whole), where=where)
    return {name: whole.select(given == name) for name in SPLIT_NAMES if name in given}
