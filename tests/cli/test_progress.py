"""What is told of an epoch where there is no terminal."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from robench.cli.progress import Bars
from robench.training.monitor import EpochReport

REPORT = EpochReport(
    epoch=2, epochs=4, learning_rate=0.1, loss=0.3, train_accuracy=0.5,
    validation_accuracy=0.75, robust_accuracy=0.25, validation_loss=2.5, selection_value=0.25,
    criterion="robust validation accuracy", selected=True, seconds=1.5, seconds_left=3.0,
)  # fmt: skip


@pytest.mark.parametrize(("changes", "told", "left"), [
    ({}, "epoch 2/4 · train 50.0% · validation 75.0% · robust 25.0%", True),
    ({"robust_accuracy": None}, "epoch 2/4 · train 50.0% · validation 75.0%", True),
    ({"remark": "eased"}, "robust 25.0% · eased", True),
    ({"remark": "overfitting", "stop": True}, "robust 25.0% · overfitting", False),
    ({"epoch": 4}, "epoch 4/4", False),
])  # fmt: skip
def test_an_epoch_is_told_with_its_remark(
    changes: dict[str, object], told: str, left: bool
) -> None:
    screen = io.StringIO()
    Bars(Console(file=screen, width=200)).epoch(replace(REPORT, **changes))
    assert told in screen.getvalue()
    assert ("3 s left" in screen.getvalue()) == left


@pytest.mark.parametrize(("changes", "lines"), [({}, 0), ({"remark": "eased"}, 1),
                                                ({"epoch": 4}, 1)])  # fmt: skip
def test_on_a_terminal_only_the_last_epoch_and_remarks_stay(
    changes: dict[str, object], lines: int
) -> None:
    screen = io.StringIO()
    bars = Bars(Console(file=screen, width=200, force_terminal=True))
    bars.epoch(replace(REPORT, **changes))
    assert screen.getvalue().count("epoch ") == lines
