"""MedDef's schedule at exact epochs, and the safety rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robench.errors import UserError
from robench.training.meddef_schedule import SafetyRule, Schedule
from robench.training.monitor import EpochReport

from .test_state import REPORT

PAPER = Schedule(
    epochs=100, warm_up_epochs=8, aggressive_epochs=15, warm_up_epsilons=(0.01, 0.02),
    aggressive_epsilons=(0.02, 0.04), stabilization_epsilon=0.03,
    adversarial_weights=(0.2, 0.5),
)  # fmt: skip
RULE = SafetyRule(tolerance=0.05, factor=0.8)


@pytest.mark.parametrize(("epoch", "epsilon", "weight"), [
    (1, 0.01, 0.2), (4, 0.01 + 0.01 * 3 / 7, 0.2), (8, 0.02, 0.2),
    (9, 0.02, 0.2), (10, 0.02 + 0.02 / 14**2, 0.2 + 0.3 / 14), (16, 0.025, 0.35),
    (22, 0.02 + 0.02 * (13 / 14) ** 2, 0.2 + 0.3 * 13 / 14), (23, 0.04, 0.5),
    (24, 0.03, 0.5), (60, 0.03, 0.5), (100, 0.03, 0.5),
])  # fmt: skip
def test_the_papers_phases(epoch: int, epsilon: float, weight: float) -> None:
    assert PAPER.at(epoch) == pytest.approx((epsilon, weight))


@pytest.mark.parametrize(("lengths", "expected"), [
    ((0, 0, 3), [(0.03, 0.5)] * 3),
    ((1, 0, 2), [(0.02, 0.2), (0.03, 0.5)]),
    ((0, 1, 2), [(0.04, 0.5), (0.03, 0.5)]),
    ((2, 3, 5), [(0.01, 0.2), (0.02, 0.2), (0.02, 0.2), (0.025, 0.35), (0.04, 0.5)]),
])  # fmt: skip
def test_other_lengths(lengths: tuple[int, int, int], expected: list[Any]) -> None:
    warm_up, aggressive, epochs = lengths
    schedule = replace(PAPER, warm_up_epochs=warm_up, aggressive_epochs=aggressive, epochs=epochs)
    for epoch, wanted in enumerate(expected, start=1):
        assert schedule.at(epoch) == pytest.approx(wanted)


@pytest.mark.parametrize(("changes", "told"), [
    ({"epochs": 22}, "the schedule does not fit into the training, got 'warm_up_epochs 8 + "),
    ({"warm_up_epochs": 90}, "does not fit"),
    ({"epochs": 0}, "parameter 'epochs'"),
    ({"warm_up_epochs": -1}, "parameter 'warm_up_epochs'"),
    ({"aggressive_epochs": 1.5}, "parameter 'aggressive_epochs'"),
    ({"warm_up_epsilons": (0.01, 1.2)}, "parameter 'warm_up_epsilons'"),
    ({"warm_up_epsilons": [0.01]}, "expected two numbers"),
    ({"aggressive_epsilons": 0.02}, "expected two numbers"),
    ({"aggressive_epsilons": (0.0, 0.04)}, "parameter 'aggressive_epsilons'"),
    ({"stabilization_epsilon": 8}, "parameter 'stabilization_epsilon'"),
    ({"adversarial_weights": (0.2, 1.1)}, "parameter 'adversarial_weights'"),
])  # fmt: skip
def test_unfit_schedules(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as caught:
        replace(PAPER, **changes)
    assert told in str(caught.value)


@pytest.mark.parametrize("changes", [
    {"tolerance": -0.1}, {"tolerance": 1.0}, {"factor": 0.0}, {"factor": 1.1},
])  # fmt: skip
def test_unfit_rules(changes: dict[str, float]) -> None:
    (name,) = changes
    with pytest.raises(UserError, match=f"parameter 'safety_{name}'"):
        replace(RULE, **changes)


def history(*accuracies: float | None) -> tuple[EpochReport, ...]:
    return tuple(replace(REPORT, validation_accuracy=accuracy) for accuracy in accuracies)


@pytest.mark.parametrize(("accuracies", "steps"), [
    ((), 0), ((0.7,), 0), ((0.7, 0.8), 0),
    ((0.8, 0.76), 0),              # within the tolerance
    ((0.8, 0.74), 1),
    ((0.8, 0.74, 0.6), 2),
    ((0.8, 0.74, 0.79), 0),        # one step back
    ((0.8, 0.7, 0.7, 0.8), 1),
    ((0.8, 0.7, 0.7, 0.8, 0.8, 0.8), 0),
    ((0.8, 0.9, 0.84), 1),         # the best so far counts
    ((None, None), 0), ((0.8, None, 0.7), 1),
])  # fmt: skip
def test_what_the_rule_counts(accuracies: tuple[float | None, ...], steps: int) -> None:
    assert RULE.steps(history(*accuracies)) == steps
    assert RULE.scale(history(*accuracies)) == pytest.approx(0.8**steps)


@given(st.lists(st.floats(0.0, 1.0), max_size=30))
def test_the_rule_only_eases(accuracies: list[float]) -> None:
    scales = [RULE.scale(history(*accuracies[:count])) for count in range(len(accuracies) + 1)]
    assert all(0 < scale <= 1 for scale in scales)
    for before, after, accuracy, best in zip(
        scales, scales[1:], accuracies, _running_best(accuracies), strict=False
    ):
        assert after < before if accuracy < best - 0.05 else after >= before
    assert SafetyRule(tolerance=0.05, factor=1.0).scale(history(*accuracies)) == 1


def _running_best(accuracies: list[float]) -> list[float]:
    return [max(accuracies[:count], default=0.0) for count in range(len(accuracies))]
