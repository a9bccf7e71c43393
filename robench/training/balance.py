"""Unbalanced classes, and what a loss and a selection make of them."""

from __future__ import annotations

import numpy as np

UNBALANCED_FROM = 1.5
"""Classes are unbalanced from this ratio of the largest to the smallest."""


def is_unbalanced(counts: np.ndarray) -> bool:
    """Whether the largest class is at least 1.5 times the smallest; images per class, length K."""
    return bool(counts.max() >= UNBALANCED_FROM * counts.min())


def class_weights(counts: np.ndarray, mode: str) -> np.ndarray | None:
    """The weight of each class in the loss, float64 of length K, or None for equal weights.

    The weights are the inverse frequencies n / (K·n_c), whose mean over the images is 1.
    `mode`: "balanced" always gives them, "auto" where the classes are unbalanced, "none" never.
    All `counts` are above 0.
    """
    if mode == "none" or (mode == "auto" and not is_unbalanced(counts)):
        return None
    return np.asarray(counts.sum() / (len(counts) * counts), dtype=np.float64)


def balanced_accuracy(right: np.ndarray, labels: np.ndarray) -> float:
    """The mean over the classes that occur of the share of their images that is `right`."""
    shares = [float(right[labels == label].mean()) for label in np.unique(labels)]
    return sum(shares) / len(shares)
