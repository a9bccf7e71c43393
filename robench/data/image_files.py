"""From scanned image files to splits: one size, one number of channels, ids, groups, digests."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robench.data.folder_scan import ImageFile
from robench.data.sources import FileImages
from robench.data.split import Split
from robench.errors import UserError


def splits_of(
    scanned: Mapping[str, Sequence[ImageFile]],
    root: Path,
    *,
    image_size: int | None,
    channels: int | None,
    groups: Mapping[str, NDArray[np.str_]] | None = None,
) -> dict[str, Split]:
    """The splits of `scanned` files, whose images are decoded when they are asked for.

    Image ids are the paths below `root`. `image_size` None: the size all have, or UserError.
    `channels` None: colour (3) if the first image of any class in the first split is stored in
    colour, else grey (1). `groups`: the group of each file (None: every image its own).
    """
    every = [file for part in scanned.values() for file in part]
    stored = _common_size(every) if image_size is None else (image_size, image_size)
    colour = channels or _stored_channels(next(iter(scanned.values())))
    return {
        name: Split.of(
            FileImages(
                [os.fspath(file.path) for file in files],
                image_size=stored,
                channels=colour,
                resize=image_size is not None,
            ),
            np.array([file.label for file in files], np.int64),
            np.array([file.path.relative_to(root).as_posix() for file in files]),
            group_ids=None if groups is None else groups[name],
            digests=np.array([file.digest for file in files]),
        )
        for name, files in scanned.items()
    }


def _common_size(files: Sequence[ImageFile]) -> tuple[int, int]:
    first = files[0]
    for file in files:
        if file.size != first.size:
            raise UserError(
                "the images differ in size: set image_size",
                where=str(file.path),
                got=_size(file),
                expected=f"{_size(first)} as {first.path} has, or image_size to resize all",
            )
    return first.size


def _size(file: ImageFile) -> str:
    return f"{file.size[1]}x{file.size[0]}"


def _stored_channels(files: Sequence[ImageFile]) -> int:
    firsts = {file.label: file for file in reversed(files)}
    return 3 if any(file.colour for file in firsts.values()) else 1
