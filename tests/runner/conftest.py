"""A matrix that runs in seconds, and its undisturbed run."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import robench
from robench.results import Run

TINY: Mapping[str, Any] = {
    "name": "tiny",
    "datasets": [{"digits": {"limit": {"train": 800, "validation": 60}}}],
    "models": [{"small-cnn": {"width": 12}}],
    "recipes": [{"standard": {"epochs": 4, "learning_rate": 0.003}}],
    "pruning": {"rates": [0, 0.5]},
    "attacks": ["noise", "fgsm", {"pgd": {"steps": 4}}],
    "epsilons": [0.05, 0.15],
    "samples": 70,
}


def tiny(**changes: Any) -> dict[str, Any]:
    """The tiny matrix with some keys changed."""
    return {**copy.deepcopy(dict(TINY)), **changes}


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The tiny matrix, run once and left alone: copy its store before changing it."""
    return robench.run(tiny(), store=tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"
