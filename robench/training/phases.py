"""The settings of a training whose phases follow one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from robench.training.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Phase:
    """`epochs` ≥ 0 of a training, which start at a `learning_rate` of their own."""

    name: str
    epochs: int
    learning_rate: float


@dataclass(frozen=True, kw_only=True)
class PhasedSettings(Settings):
    """Settings of a training in `phases`: the schedule begins anew with each of them.

    All phases share one optimizer; it passes by the weights that a phase gives no gradient.
    """

    phases: tuple[Phase, ...]

    @classmethod
    def of(cls, phases: Sequence[Phase], **shared: Any) -> Self:
        """The settings of `phases`; `shared` are the other fields of `Settings`."""
        return cls(phases=tuple(phases), epochs=sum(phase.epochs for phase in phases), **shared)

    @property
    def last_begins(self) -> int:
        """The first epoch, from 1, of the last phase that has any."""
        last = next(phase for phase in reversed(self.phases) if phase.epochs)
        return self.epochs - last.epochs + 1

    def at(self, epoch: int) -> tuple[Phase, int]:
        """The phase of `epoch`, and which one of the phase it is, both from 1."""
        for phase in self.phases:
            if epoch <= phase.epochs:
                return phase, epoch
            epoch -= phase.epochs
        raise ValueError(f"{epoch} epochs after the last")

    def learning_rate_at(self, epoch: int) -> float:
        """As in a training that consists of the phase alone."""
        phase, number = self.at(epoch)
        alone = {each.name: getattr(self, each.name) for each in fields(Settings)}
        alone |= {"epochs": phase.epochs, "learning_rate": phase.learning_rate}
        return Settings(**alone).learning_rate_at(number)
