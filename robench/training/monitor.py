"""What a training tells while it runs, and how an interrupted one is found again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from robench.training.state import TrainingState


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """One finished epoch. Accuracies are fractions in [0,1], times are in seconds.

    `loss` and `train_accuracy` are over the images the network was trained on (the adversarial
    ones, where the recipe makes them) while its weights moved. `validation_accuracy` is on clean
    images, `robust_accuracy` is the share that is right both before and after the recipe's
    attack; both are None without a validation split, the second also where nothing is attacked.

    `selected` says that this epoch's weights are, so far, the ones that will be returned, and
    `criterion` how that is decided: the name of `selection_value`, whose ties go to the lower
    `validation_loss`. `seconds_left` is an upper bound where patience may end the training.

    `remark` is what the recipe has to tell of this epoch, most often nothing; with `stop` it has
    ended the training here.
    """

    epoch: int
    epochs: int
    learning_rate: float
    loss: float
    train_accuracy: float
    validation_accuracy: float | None
    robust_accuracy: float | None
    validation_loss: float | None
    selection_value: float | None
    criterion: str
    selected: bool
    seconds: float
    seconds_left: float
    remark: str = ""
    stop: bool = False


class Monitor(Protocol):
    """Follows a training. Its methods are called in the thread that trains."""

    def epoch(self, report: EpochReport) -> None:
        """An epoch is finished; its state has been saved."""

    def batch(self, done: int, total: int) -> None:
        """`done` of the `total` training batches of this epoch are finished."""

    def load(self) -> TrainingState | None:
        """The state to go on from, or None to begin at the first epoch."""

    def save(self, state: TrainingState) -> None:
        """Keep the state of the epoch just finished; its tensors are copies of its own."""


class SilentMonitor:
    """Says nothing, keeps nothing."""

    def epoch(self, report: EpochReport) -> None:
        """Nothing."""

    def batch(self, done: int, total: int) -> None:
        """Nothing."""

    def load(self) -> TrainingState | None:
        """Nothing was kept."""
        return None

    def save(self, state: TrainingState) -> None:
        """Nothing."""


def best_of(history: Sequence[EpochReport]) -> EpochReport | None:
    """The epoch whose weights are kept after `history`, None before the first."""
    return next((report for report in reversed(history) if report.selected), None)
