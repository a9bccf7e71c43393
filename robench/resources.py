"""Where the cards and matrices that ship with robench lie: in the wheel, or in the checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def registry_folder() -> Path:
    """The folder of the cards."""
    return _shipped("registry")


def matrices_folder() -> Path:
    """The folder of the shipped matrices."""
    return _shipped("benchmarks")


def _shipped(name: str) -> Path:
    inside = _PACKAGE / f"_{name}"
    return inside if inside.is_dir() else _PACKAGE.parent / name
