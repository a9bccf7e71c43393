"""What a run tells while it goes on."""

from __future__ import annotations

from robench.plan import Ladder, Remaking, Training
from robench.training.monitor import EpochReport


class Listener:
    """Follows a run and says nothing; override what is to be told.

    Every method is called in the thread that runs.
    """

    def planned(self, *, cells: int, found: int) -> None:
        """So many cells are asked for, and so many of them were found."""

    def training(self, training: Training | Remaking) -> None:
        """A training begins, or goes on; or what is done to a network after its pruning."""

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

    def smaller_batch(self, size: int) -> None:
        """Memory ran out; it goes on with so many images at once."""

    def waiting(self, label: str) -> None:
        """Another process is at work on what is needed next."""
