"""What the flags of a leaderboard row mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

FLAGS: Final[Mapping[str, str]] = {
    "batch-dependent": "the result for an image depends on the other images of its batch",
    "shared-images": "byte-identical images stand in the training and in the test split",
    "zero-gradient": (
        "the gradient is zero for every image: the defense probably masks it, "
        "and the robust accuracy must not be believed"
    ),
    "constant": "the victim predicts one class for every clean image",
    "clean-mismatch": (
        "the clean predictions differ between the attacks on this victim; "
        "only images that are right in all of them count as right"
    ),
    "below-majority": "clean accuracy is not above the share of the largest class",
    "stochastic": (
        "the victim draws random numbers in every pass: each image was judged on one draw, "
        "which depends on the batch size, and an attack that averages over draws may find more"
    ),
    "unseeded": "random draws do not depend on the seed alone: a second run may differ",
}


def split(flags: object) -> tuple[str, ...]:
    """The flags of a leaderboard's `flags` cell, which may be empty or missing."""
    return tuple(flag for flag in flags.split(",") if flag) if isinstance(flags, str) else ()


def legend(flags: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Each of `flags` once, in alphabetical order, with its meaning."""
    return tuple((flag, FLAGS.get(flag, "no meaning is on record")) for flag in sorted(set(flags)))
