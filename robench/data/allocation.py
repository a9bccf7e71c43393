"""Which image goes to which split: stratified by class, the same in any order of the files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.errors import UserError, unknown

SPLIT_NAMES = ("train", "validation", "test")
DEFAULT_FRACTIONS: Mapping[str, float] = {"train": 0.70, "validation": 0.15, "test": 0.15}


def split_name(name: object, *, where: str) -> str:
    """`name` as one of SPLIT_NAMES ("val" is "validation"), or UserError."""
    if name == "val":
        return "validation"
    if name not in SPLIT_NAMES:
        raise unknown("split", str(name), SPLIT_NAMES, where=where)
    return str(name)


def check_fractions(fractions: Mapping[Any, Any], *, where: str) -> dict[str, float]:
    """`fractions` by split name; each above 0, together 1, or UserError."""
    checked: dict[str, float] = {}
    for name, value in fractions.items():
        known = split_name(name, where=where)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1:
            raise UserError(
                "not a fraction", where=f"{where}: {name}", got=value, expected="0 < fraction <= 1"
            )
        if known in checked:
            raise UserError(f"'{known}' stands twice", where=where, got=list(fractions))
        checked[known] = float(value)
    if abs(sum(checked.values()) - 1) > 1e-6:
        raise UserError(
            "the fractions do not sum to 1", where=where, got=dict(fractions), expected="sum 1"
        )
    return {name: checked[name] for name in SPLIT_NAMES if name in checked}


def check_split_names(split: Sequence[str], *, count: int, where: str) -> NDArray[np.str_]:
    """The split name of each of `count` images, or UserError."""
    if isinstance(split, str) or len(split) != count:
        raise UserError(
            "not one split name per image",
            where=where,
            got=split if isinstance(split, str) else f"{len(split)} names",
            expected=f"{count} names, a mapping of fractions, or None",
        )
    return np.array(
        [split_name(name, where=f"{where}[{index}]") for index, name in enumerate(split)]
    )


def hash_order(ids: NDArray[np.str_], *, salt: str) -> NDArray[np.int64]:
    """The indices of `ids` in the order of sha256(salt, id): random, but fixed for each id."""
    start = hashlib.sha256(f"{salt}\0".encode())
    ranks = np.empty(len(ids), np.uint64)
    for index, name in enumerate(ids.tolist()):
        state = start.copy()
        state.update(name.encode("utf-8", "surrogateescape"))
        ranks[index] = int.from_bytes(state.digest()[:8], "big")
    return np.argsort(ranks, kind="stable")


def clusters(group_ids: NDArray[np.str_], digests: NDArray[np.bytes_]) -> NDArray[np.int64]:
    """The cluster (0, 1, …) of each image: images of one group, and byte-identical images.

    Copies of one image count as one group here, so that a split made by robench never has
    the same image on both sides.
    """
    group = np.unique(group_ids, return_inverse=True)[1].astype(np.int64)
    content = np.unique(digests, return_inverse=True)[1].astype(np.int64)
    label = group
    while True:
        joined = _least(_least(label, content), group)
        if np.array_equal(joined, label):
            return np.unique(label, return_inverse=True)[1].astype(np.int64)
        label = joined


def allocate(
    labels: NDArray[np.int64],
    image_ids: NDArray[np.str_],
    cluster: NDArray[np.int64],
    fractions: Mapping[str, float],
    *,
    salt: str,
    where: str,
) -> NDArray[np.str_]:
    """The split name of each image; UserError where a split would get none.

    Each class is divided by `fractions` (largest remainders; at least one image for each split
    where the class has that many). Clusters of several images are placed first, largest
    first, whole, where the counts still miss most; single images fill up in hash order. So the
    result depends on ids, labels and clusters, and not on the order of the images.
    """
    names = list(fractions)
    shares = np.array([fractions[name] for name in names])
    order = hash_order(image_ids, salt=salt)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    classes = int(labels.max()) + 1
    counts = np.bincount(labels, minlength=classes)
    target = _quotas(counts, shares / shares.sum())
    missing = target.copy()
    chosen = np.full(len(labels), -1)

    empty = list(range(len(names)))
    unplaced = len(np.unique(cluster))
    for members in _large_clusters(cluster, rank):
        # The last clusters go where there is nothing yet, be they too large for it.
        open_splits = empty if unplaced <= len(empty) else range(len(names))
        unplaced -= 1
        held = np.bincount(labels[members], minlength=classes)
        overflow = np.maximum(held - missing, 0).sum(axis=1)
        need = (missing / np.maximum(target, 1)) @ held
        best = min(open_splits, key=lambda split: (overflow[split], -need[split]))
        missing[best] -= held
        chosen[members] = best
        empty = [split for split in empty if split != best]

    single = order[chosen[order] < 0]
    if len(single) <= len(empty):
        chosen[single] = empty[: len(single)]
        single = single[:0]
    for label in range(classes):
        members = single[labels[single] == label]
        still = np.maximum(missing[:, label], 0)
        quota = _quota(len(members) * still / max(1, still.sum()), np.zeros(len(names)))
        chosen[members] = np.repeat(np.arange(len(names)), quota)
    for split, name in enumerate(names):
        if split not in chosen:
            raise UserError(
                f"too few images or groups: none is left for '{name}'",
                where=where,
                got=f"{len(labels)} images in {len(np.unique(cluster))} groups",
            )
    allocated: NDArray[np.str_] = np.array(names)[chosen]
    return allocated


def _least(label: NDArray[np.int64], part: NDArray[np.int64]) -> NDArray[np.int64]:
    """The least label in each image's part."""
    least = np.full(int(part.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(least, part, label)
    return least[part]


def _large_clusters(cluster: NDArray[np.int64], rank: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The members of each cluster of two or more, largest cluster first, then by hash."""
    order = np.lexsort((rank, cluster))
    starts = np.flatnonzero(np.diff(cluster[order], prepend=-1))
    members = [part for part in np.split(order, starts[1:]) if len(part) > 1]
    return sorted(members, key=lambda part: (-len(part), rank[part[0]]))


def _quotas(counts: NDArray[np.int64], shares: NDArray[Any]) -> NDArray[np.int64]:
    """How many images of each class (columns) go to each split (rows).

    A split that rounding left short in one class comes first in the next: else two classes
    of 50 at 15 % would both round up, and the split would be one too large.
    """
    carry = np.zeros(len(shares))
    columns = []
    for count in counts.tolist():
        quota = _quota(count * shares, carry)
        carry += count * shares - quota
        for split in np.flatnonzero((quota == 0) & (count >= len(shares))):
            quota[np.argmax(quota)] -= 1
            quota[split] += 1
        columns.append(quota)
    return np.stack(columns, axis=1)


def _quota(exact: NDArray[Any], carry: NDArray[Any]) -> NDArray[np.int64]:
    """`exact` in whole numbers of the same sum; what is left goes by remainder and `carry`."""
    quota = np.floor(exact + 1e-9).astype(np.int64)
    left = round(exact.sum()) - int(quota.sum())
    quota[np.argsort(quota - exact - carry, kind="stable")[:left]] += 1
    return quota
