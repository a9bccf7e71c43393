"""What the flags of a leaderboard row mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from robench.audit.catalogue import FLAG_WORDS, TITLES

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
        "the victim draws random numbers in every pass: attacks see means over several draws, and "
        "an image counts as broken where most of as many new draws are wrong; the draws depend on "
        "the batch size"
    ),
    "no-start": (
        "the attack found nothing to begin with for some images: they were not attacked, and count "
        "as not broken"
    ),
    "non-adaptive": (
        "the attack did not see the defense: the number says what a careless attacker reaches, "
        "and is no robustness; read the white-box row"
    ),
    "bfloat16": (
        "gradients were computed in bfloat16 and each success decided in float32: float32 "
        "gradients may find more"
    ),
    "tf32": (
        "gradients were computed in TF32 and each success decided in float32: float32 gradients "
        "may find more"
    ),
    "unseeded": "random draws do not depend on the seed alone: a second run may differ",
}
#: The flags that the audit puts on rows; what it found stands in its findings.
AUDIT_FLAGS: Final[Mapping[str, str]] = {
    FLAG_WORDS[check]: f"{title} (audit {check})" for check, title in TITLES.items()
}


def split(flags: object) -> tuple[str, ...]:
    """The flags of a leaderboard's `flags` cell, which may be empty or missing."""
    return tuple(flag for flag in flags.split(",") if flag) if isinstance(flags, str) else ()


def legend(flags: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Each of `flags` once, in alphabetical order, with its meaning."""
    meanings = {**AUDIT_FLAGS, **FLAGS}
    unknown = "no meaning is on record"
    return tuple((flag, meanings.get(flag, unknown)) for flag in sorted(set(flags)))
