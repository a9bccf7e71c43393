"""Settings of a training in phases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from robench.errors import UserError
from robench.training.phases import Phase, PhasedSettings
from robench.training.settings import Settings

SHARED: dict[str, Any] = {
    "batch_size": 8, "optimizer": "adam", "learning_rate": 0.1, "weight_decay": 0.0,
    "momentum": 0.9, "schedule": "cosine", "class_weights": "auto", "patience": None,
}  # fmt: skip


def phased(*epochs: int) -> PhasedSettings:
    return PhasedSettings.of(
        [Phase(name=f"phase {place}", epochs=count, learning_rate=0.1 / 2**place)
         for place, count in enumerate(epochs)], **SHARED,
    )  # fmt: skip


def test_every_epoch_has_its_phase() -> None:
    settings = phased(2, 0, 3)
    found = [(phase.name, number) for phase, number in map(settings.at, range(1, 6))]
    assert found == [("phase 0", 1), ("phase 0", 2),
                     ("phase 2", 1), ("phase 2", 2), ("phase 2", 3)]  # fmt: skip
    assert settings.epochs == 5
    with pytest.raises(ValueError, match="1 epochs after the last"):
        settings.at(6)


@pytest.mark.parametrize(("epochs", "begins"), [
    ((2, 0, 3), 3), ((2, 3, 0), 3), ((4,), 1), ((0, 0, 2), 1), ((1, 1, 1), 3),
])  # fmt: skip
def test_where_the_last_phase_begins(epochs: tuple[int, ...], begins: int) -> None:
    assert phased(*epochs).last_begins == begins


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_the_schedule_begins_anew(schedule: str) -> None:
    settings = replace(phased(2, 0, 3), schedule=schedule)
    alone = [Settings(**{**SHARED, "schedule": schedule, "epochs": count, "learning_rate": rate})
             for count, rate in ((2, 0.1), (3, 0.025))]  # fmt: skip
    expected = [each.learning_rate_at(epoch)
                for each in alone for epoch in range(1, each.epochs + 1)]  # fmt: skip
    assert [settings.learning_rate_at(epoch) for epoch in range(1, 6)] == expected
    assert expected[2] == 0.025


def test_no_epochs_at_all() -> None:
    with pytest.raises(UserError, match="parameter 'epochs'"):
        phased(0, 0)
