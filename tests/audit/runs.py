"""Runs for the audit, made from predictions without a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from robench.scoring.rows import CellRecord

RECORD = CellRecord(
    key="", dataset="d", model="m", recipe="standard", defense="none", pruning_rate=0.0,
    threat="white-box", surrogate=None, attack="pgd", norm="linf", epsilon=0.03, seed=0,
)
#: 100 images: 60 of class 0, 40 of class 1.
LABELS = np.repeat([0, 1], [60, 40])
RIGHT = np.arange(100) % 20 != 0  # 95 of them
Made = tuple[CellRecord, Mapping[str, Any], Mapping[str, Any]]


@dataclass(frozen=True)
class SmallRun:
    """A run as the audit sees one; `ladder` and `asked` stand in its record."""

    made: Sequence[Made]
    ladder: bool = True
    asked: int | None = None

    @property
    def record(self) -> dict[str, Any]:
        attacks = [{name: {}, "label": name}
                   for name in dict.fromkeys(record.attack for record, _, _ in self.made)]
        return {
            "id": "small-1", "matrix": {"attacks": attacks, "ladder": self.ladder},
            "datasets": {"d": {"class_counts": {"test": [60, 40]}, "classes": ["well", "ill"]}},
            "cells": [{}] * (len(self.made) if self.asked is None else self.asked),
        }

    def cells(self) -> Iterator[Made]:
        yield from self.made


def cell(
    attack: str, broken: Sequence[int] | Any, *, right: Any = RIGHT, moved: float = 0.01,
    margin: float = -0.5, flags: Sequence[str] = (), predictions: Any = None, **labels: Any,
) -> Made:
    """A cell in which the images at the places `broken` are broken, if right before.

    `moved` is every distance, `margin` what the attack adds to the margin of what stands.
    """
    clean = np.where(right, LABELS, 1 - LABELS) if predictions is None else predictions
    correct = clean == LABELS
    success = np.zeros(100, dtype=bool)
    success[np.asarray(broken, dtype=int)] = True
    success &= correct
    spread = np.linspace(1, 2, 100)
    columns = {
        "image_id": np.array([f"image-{place}" for place in range(100)], dtype=object),
        "label": LABELS, "clean_prediction": clean, "clean_correct": correct, "success": success,
        "adversarial_prediction": np.where(success, 1 - LABELS, clean),
        "linf": np.where(correct, moved, 0.0), "l2": np.where(correct, moved, 0.0),
        "l0": np.where(correct & (moved > 0), 3, 0),
        "forwards": np.full(100, 41), "backwards": np.full(100, 40),
        "clean_margin": spread, "adversarial_margin": np.where(success, -spread, spread + margin),
    }
    key = "-".join([attack, *(f"{value}" for value in labels.values())])
    record = replace(RECORD, **{"attack": attack, "key": key, **labels})
    return record, columns, {"seconds": 1.0, "sparsity": 0.0, "flags": list(flags)}


def every(count: int, start: int = 1) -> Any:
    """The first `count` images from `start` on that are right before the attack."""
    places = [place for place in range(start, 100) if RIGHT[place]]
    return np.array(places[:count], dtype=int)
