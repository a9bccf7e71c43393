"""Runs of random images for the layouts that count on images, and their numbers by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from robench.reporting.sheet import Sheet
from tests.reporting.layout_runs import Made, N, cell


def random_cell(
    model: str, attack: str, epsilon: float, distance: Any, *, right: Any, seed: int = 0,
    classes: int = 2, columns: Mapping[str, Any] | None = None, **labels: Any,
) -> Made:
    """A cell in which those images of `right` are broken whose `distance` (N) is at most epsilon.

    Labels are random and the same for every `seed`; wrong predictions are the next class or, of
    more than two, the one after.
    """
    random = np.random.default_rng(seed)
    label = random.integers(0, classes, N).astype(np.int32)
    label[:classes] = np.arange(classes)
    away = (1 + random.integers(0, classes - 1, N)).astype(np.int32)
    wrong = (label + away) % classes
    success = right & (distance <= epsilon)
    size = np.abs(random.normal(2, 1, N)).astype(np.float32) + 0.01
    return cell(model, attack, epsilon, 0, **labels, columns={
        "label": label, "clean_prediction": np.where(right, label, wrong),
        "adversarial_prediction": np.where(right & ~success, label, wrong),
        "clean_correct": right, "success": success,
        "linf": np.where(success, distance, 0.0), "l2": np.where(success, distance, 0.0),
        "clean_margin": np.where(right, size, -size),
        "adversarial_margin": np.where(right & ~success, size / 2, -size), **(columns or {}),
    })


def numbers(sheet: Sheet, measure: str, **where: Any) -> list[dict[str, Any]]:
    """The long rows of one measure that agree with `where`."""
    return [dict(row) for row in sheet.rows if row["measure"] == measure
            and all(row[name] == value for name, value in where.items())]


def number(sheet: Sheet, measure: str, **where: Any) -> dict[str, Any]:
    """The only such long row."""
    (found,) = numbers(sheet, measure, **where)
    return found
