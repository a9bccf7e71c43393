"""MedDef's three phases, and the rule that eases them when validation degrades."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robench.errors import UserError
from robench.training.checks import check_positive, check_share, check_whole
from robench.training.monitor import EpochReport

Ramp = Sequence[float]
"""Where something begins and where it ends."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Radius and weight of the adversarial images in each epoch (MedDef, section 3.8).

    Warm-up: the radius rises linearly along `warm_up_epsilons`, the weight is the first of
    `adversarial_weights`. Aggressive: the radius rises with the square of the progress along
    `aggressive_epsilons`, the weight linearly along `adversarial_weights`. Stabilisation, to the
    last of the `epochs`: `stabilization_epsilon` and the second weight. A phase begins at the
    start of its ramp and ends at its end; one of a single epoch is at the end. Raises UserError
    for what is not usable, and where the first two phases are longer than the training.
    """

    epochs: int
    warm_up_epochs: int
    aggressive_epochs: int
    warm_up_epsilons: Ramp
    aggressive_epsilons: Ramp
    stabilization_epsilon: float
    adversarial_weights: Ramp

    def __post_init__(self) -> None:
        check_whole("epochs", self.epochs, low=1)
        check_whole("warm_up_epochs", self.warm_up_epochs, low=0)
        check_whole("aggressive_epochs", self.aggressive_epochs, low=0)
        for name in ("warm_up_epsilons", "aggressive_epsilons", "adversarial_weights"):
            for value in _pair(name, getattr(self, name)):
                check_positive(name, value, high=1.0)
        check_positive("stabilization_epsilon", self.stabilization_epsilon, high=1.0)
        if self._rest_begins > self.epochs + 1:
            raise UserError(
                "the schedule does not fit into the training",
                got=f"warm_up_epochs {self.warm_up_epochs} + aggressive_epochs "
                f"{self.aggressive_epochs}, epochs {self.epochs}",
                expected="epochs of at least the two together, or shorter phases",
            )

    @property
    def _rest_begins(self) -> int:
        return self.warm_up_epochs + self.aggressive_epochs + 1

    def at(self, epoch: int) -> tuple[float, float]:
        """(radius, weight) of `epoch`, from 1, before any safety rule."""
        if epoch <= self.warm_up_epochs:
            progress = _progress(epoch, self.warm_up_epochs)
            return _between(self.warm_up_epsilons, progress), self.adversarial_weights[0]
        if epoch < self._rest_begins:
            progress = _progress(epoch - self.warm_up_epochs, self.aggressive_epochs)
            return (_between(self.aggressive_epsilons, progress**2),
                    _between(self.adversarial_weights, progress))
        return self.stabilization_epsilon, self.adversarial_weights[1]


@dataclass(frozen=True, kw_only=True)
class SafetyRule:
    """Eases radius and weight after epochs in which validation degraded.

    The paper has "automatic safety adjustments when validation performance degraded" and no
    rule; this one is a choice. An epoch degraded if its clean validation accuracy is more than
    `tolerance` below the best of the epochs before it. Radius and weight of the next epoch are
    then multiplied by `factor`, once more after each further one; each epoch that did not
    degrade takes one such step back, up to the schedule. Factor 1 is no rule.

    All is read from the reports of the epochs, which are part of a training's state: a training
    that is taken up again goes on with the same ease.
    """

    tolerance: float
    factor: float

    def __post_init__(self) -> None:
        check_share("safety_tolerance", self.tolerance)
        check_positive("safety_factor", self.factor, high=1.0)

    def steps(self, history: Sequence[EpochReport]) -> int:
        """How many times `factor` applies to the epoch after `history`."""
        steps, best = 0, 0.0
        for report in history:
            accuracy = report.validation_accuracy
            if accuracy is None:
                continue
            steps = steps + 1 if accuracy < best - self.tolerance else max(steps - 1, 0)
            best = max(best, accuracy)
        return steps

    def scale(self, history: Sequence[EpochReport]) -> float:
        """What radius and weight of the epoch after `history` are multiplied by, in (0, 1]."""
        return self.factor ** self.steps(history)


def _progress(number: int, epochs: int) -> float:
    return 1.0 if epochs == 1 else (number - 1) / (epochs - 1)


def _between(ramp: Ramp, progress: float) -> float:
    return ramp[0] + (ramp[1] - ramp[0]) * progress


def _pair(name: str, value: object) -> Sequence[object]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise UserError(f"parameter '{name}' is not usable", got=value,
                        expected="two numbers: where it begins and where it ends")
    return value
