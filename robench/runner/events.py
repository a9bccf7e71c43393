"""What a run tells while it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from robench.plan import Ladder, Training
from robench.training.monitor import EpochReport


class Listener(Protocol):
    """Follows a run; every method is called in the thread that runs."""

    def planned(self, *, cells: int, found: int) -> None:
        """So many cells are asked for, and so many of them were found."""

    def training(self, training: Training) -> None:
        """A training begins, or goes on."""

    def batch(self, done: int, total: int) -> None:
        """Training batches of this epoch."""

    def epoch(self, report: EpochReport) -> None:
        """An epoch of the training is finished."""

    def attacking(self, ladder: Ladder, images: int) -> None:
        """An attack begins on so many images."""

    def attacked(self, images: int) -> None:
        """So many images are done."""

    def finished(self, ladder: Ladder, cells: int) -> None:
        """So many cells of a ladder were made."""

    def failed(self, label: str, error: str, cells: int) -> None:
        """So many cells could not be made."""

    def altered(self, path: Path) -> None:
        """A file of the store was changed by hand and is made again."""

    def smaller_batch(self, size: int) -> None:
        """Memory ran out; it goes on with so many images at once."""

    def waiting(self, label: str) -> None:
        """Another process is at work on what is needed next."""


class Silence:
    """A listener that does nothing."""

    def planned(self, *, cells: int, found: int) -> None:
        """Nothing."""

    def training(self, training: Training) -> None:
        """Nothing."""

    def batch(self, done: int, total: int) -> None:
        """Nothing."""

    def epoch(self, report: EpochReport) -> None:
        """Nothing."""

    def attacking(self, ladder: Ladder, images: int) -> None:
        """Nothing."""

    def attacked(self, images: int) -> None:
        """Nothing."""

    def finished(self, ladder: Ladder, cells: int) -> None:
        """Nothing."""

    def failed(self, label: str, error: str, cells: int) -> None:
        """Nothing."""

    def altered(self, path: Path) -> None:
        """Nothing."""

    def smaller_batch(self, size: int) -> None:
        """Nothing."""

    def waiting(self, label: str) -> None:
        """Nothing."""
