"""The record of a run: what was asked, which cells answer it, and where they were computed."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from robench.data import Dataset
from robench.matrix import UNBOUNDED, Item, Matrix
from robench.plan import Cell, Plan
from robench.registry import Registry
from robench.store import Store

FORMAT = 1
_LIBRARIES = ("robench", "torch", "torchvision", "timm", "adversarial-robustness-toolbox",
              "kornia", "numpy", "pandas")


def open_run(store: Store, plan: Plan, datasets: Mapping[str, Dataset]) -> dict[str, Any]:
    """The record of a plan's run: the one in the store, or a new one."""
    known = store.read_run(plan.run_id)
    return {
        "format": FORMAT, "id": plan.run_id, "name": plan.matrix.name,
        "matrix": resolved(plan.matrix),
        "datasets": {label: _data_facts(dataset) for label, dataset in datasets.items()},
        "cells": [_cell(cell) for cell in plan.cells],
        "executions": list(known.get("executions", [])) if known else [],
    }


def execution(
    *, started: datetime, device: str, computed: int, registry: Registry, commit: str | None
) -> dict[str, Any]:
    """Where and how long a run, or a part of it, was computed; `commit` is that of the start."""
    now = datetime.now(UTC)
    return {
        "started": started.isoformat(timespec="seconds"),
        "wall_seconds": round((now - started).total_seconds(), 3),
        "cells_computed": computed, "device": device,
        "versions": {"python": platform.python_version(), **_versions()},
        "plugins": sorted({plugin.origin for plugin in registry.plugins()}),
        "git_commit": commit,
    }


def resolved(matrix: Matrix) -> dict[str, Any]:
    """A matrix with every default written out."""
    return {
        "name": matrix.name,
        "datasets": [_item(item) for item in matrix.datasets],
        "models": [_item(item) for item in matrix.models],
        "recipes": None if matrix.recipes is None else [_item(item) for item in matrix.recipes],
        "pruning": {**asdict(matrix.pruning), "rates": list(matrix.pruning.rates)},
        "defenses": [_item(item) for item in matrix.defenses],
        "attacks": [_item(item) for item in matrix.attacks],
        "epsilons": [epsilon.asked for epsilon in matrix.epsilons],
        "threats": [threat.asked() for threat in matrix.threats], "seeds": list(matrix.seeds),
        "samples": matrix.samples, "ladder": matrix.ladder,
        "draws": matrix.draws, "precision": matrix.precision,
        "exclude": [dict(exclusion.wanted) for exclusion in matrix.exclude],
    }


def _item(item: Item) -> dict[str, Any]:
    own = {"checkpoint": item.checkpoint} if item.checkpoint else {}
    sizes = [epsilon.asked for epsilon in item.epsilons or () if epsilon != UNBOUNDED]
    return {item.card.name: {**item.settings, **own}, "label": item.label,
            **({"epsilons": sizes} if sizes else {})}


def _cell(cell: Cell) -> dict[str, Any]:
    target = cell.target
    training = target.training
    return {
        "key": cell.key, "dataset": training.dataset.label, "model": training.model.label,
        "recipe": training.recipe.label, "defense": target.defense.label,
        "pruning_rate": target.rate, "threat": cell.threat, "surrogate": cell.surrogate,
        "attack": cell.attack.label, "norm": cell.norm, "epsilon": cell.epsilon.written,
        "epsilon_text": cell.epsilon.text, "seed": cell.seed, "checkpoint": target.checkpoint,
    }


def _data_facts(dataset: Dataset) -> dict[str, Any]:
    return {
        **{name: len(split) for name, split in dataset.splits.items()},
        "class_counts": {name: list(dataset.class_counts(name)) for name in dataset.splits},
        "classes": list(dataset.class_names), "duplicates": dataset.duplicates,
        "image": [*dataset.image_size, dataset.in_channels],
        "fingerprint": dataset.fingerprint,
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """The commit of robench's own checkout; None for an installed wheel."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / "pyproject.toml").is_file():
        return None
    try:
        asked = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"],
            cwd=checkout, capture_output=True, text=True, timeout=10, check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip() or None
