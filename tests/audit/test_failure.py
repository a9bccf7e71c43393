"""Signs of a failed attack along its path: the formulas by hand, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robench.audit.failure import (
    Trace,
    Traced,
    failures,
    instability,
    last_move,
    relative_change,
    unfinished,
)
from robench.audit.finding import Finding, Unchecked

FALLING = np.linspace(4.0, 1.0, 31)
SETTLED = np.concatenate([np.linspace(4.0, 1.0, 21), np.ones(10)])


def trace(
    path: Sequence[float] | np.ndarray = SETTLED, *, noise: float = 0.01, outside: int = 0,
    won: bool = False, broken: bool = False,
) -> Trace:
    """A trace both of whose losses take the same way; `noise` is their relative change."""
    clean = np.array([-0.2, 4.0])
    return Trace(path=np.stack([path, path]), outside=outside, clean=clean,
                 noisy=clean[:, None] * np.array([1 - noise, 1 + noise]), won=won, broken=broken)


CELL = Traced(key="k", named="pgd on net at ε 0.1", access="gradient", stochastic=False,
              rowwise=True, traces=[trace()] * 4)


def said(cell: Traced) -> tuple[dict[str, Finding], dict[str, Unchecked]]:
    given = list(failures(cell))
    return ({one.check: one for one in given if isinstance(one, Finding)},
            {one.check: one for one in given if isinstance(one, Unchecked)})


@pytest.mark.parametrize(("clean", "noisy", "expected"), [
    (2.0, [1.0, 3.0, 2.0, 2.4], (0.5 + 0.5 + 0 + 0.2) / 4),
    (-0.5, [-0.4, -0.7], (0.2 + 0.4) / 2),
    (0.1, [5.0, 0.1], 1.0),  # at most 1
    (0.0, [0.25, -0.75], 0.5),  # of nothing, the change itself
])
def test_relative_change(clean: float, noisy: list[float], expected: float) -> None:
    assert relative_change(clean, np.array(noisy)) == pytest.approx(expected)


@pytest.mark.parametrize(("losses", "expected"), [
    (FALLING, 10 / 30),  # evenly to the last step: the last ten of thirty
    (SETTLED, 0.0),
    (np.linspace(1.0, 4.0, 31), 0.0),  # never below its first value
    (np.full(31, 3.0), 0.0),
    (3.0 + 5e-8 * np.arange(31)[::-1], 0.0),  # by less than float32 tells apart
    (np.linspace(4.0, 3.0, 11), 0.5),  # a short path: its second half
    ([4.0, 3.0, 1.0], 2 / 3),
    ([4.0, 1.0], None),  # one step
    ([4.0], None),
    ([4.0, 9.0, 2.0, 8.0, 3.0, 1.0], 1 / 3),  # passes that are worse change nothing: 4 4 2 2 2 1
])
def test_last_move(losses: Sequence[float], expected: float | None) -> None:
    found = last_move(np.asarray(losses))
    assert found == (None if expected is None else pytest.approx(expected))


def _by_hand(losses: list[float]) -> float:
    best, minimum = [], losses[0]
    for loss in losses:
        minimum = min(minimum, loss)
        best.append(minimum)
    if best[0] == best[-1]:
        return 0.0
    scaled = [(value - best[-1]) / (best[0] - best[-1]) for value in best]
    return scaled[len(losses) - 1 - min(10, (len(losses) - 1) // 2)]


@given(st.lists(st.integers(-50, 50).map(float), min_size=3, max_size=40))
def test_last_move_of_any_path(losses: list[float]) -> None:
    assert last_move(np.array(losses)) == pytest.approx(_by_hand(losses))


def test_a_sign_counts_where_both_losses_show_it() -> None:
    calm, wild = trace(), trace(FALLING, noise=0.5)
    one = replace(wild, path=np.stack([FALLING, SETTLED]),
                  noisy=np.stack([wild.noisy[0], calm.noisy[1]]))
    other = replace(wild, path=np.stack([SETTLED, FALLING]),
                    noisy=np.stack([calm.noisy[0], wild.noisy[1]]))
    for mixed in (one, other):
        assert instability(mixed) == pytest.approx(0.01)
        assert unfinished(mixed) == 0.0
    assert instability(wild) == pytest.approx(0.5)
    assert unfinished(wild) == pytest.approx(1 / 3)


def test_nothing_is_said_of_an_attack_at_its_end() -> None:
    assert said(CELL) == ({}, {})


@pytest.mark.parametrize(("traces", "check", "severity", "words"), [
    ([trace(noise=0.3), trace(noise=0.08), trace(noise=0.09), trace(noise=0.2)], "F6-unstable",
     "warning", ["17% (mean; 8% to 30%)", "for 2 of 4 images", "8/255"]),
    ([trace(FALLING), trace(), trace(), trace()], "F6-incomplete", "warning",
     ["8% (mean; 0% to 33%)", "for 1 of 4 images"]),
    ([trace(won=True), trace(), trace(won=True, broken=True)], "F6-path", "serious",
     ["for 1 of 2 images"]),
])
def test_what_is_found(
    traces: list[Trace], check: str, severity: str, words: list[str]
) -> None:
    findings, unchecked = said(replace(CELL, traces=traces))
    assert set(findings) == {check}
    assert not unchecked
    found = findings[check]
    assert (found.severity, found.rows) == (severity, ("k",))
    assert all(word in found.message for word in ["pgd on net at ε 0.1", *words])


@pytest.mark.parametrize("traces", [
    [trace(noise=0.35), trace(noise=0.01), trace(noise=0.01), trace(noise=0.01)],
    [trace(FALLING), *[trace()] * 7],  # a mean of 4 %
    [trace(FALLING, broken=True), trace()],  # it ended because it had won
])
def test_what_is_below_the_threshold(traces: list[Trace]) -> None:
    assert said(replace(CELL, traces=traces)) == ({}, {})


def test_random_numbers_make_notes() -> None:
    wild = replace(CELL, stochastic=True, traces=[trace(FALLING, noise=0.5, won=True)])
    findings, unchecked = said(wild)
    assert {name: one.severity for name, one in findings.items()} == {
        "F6-unstable": "note", "F6-incomplete": "note"}
    assert all("expected of it" in one.message for one in findings.values())
    assert set(unchecked) == {"F6-path"}


@pytest.mark.parametrize(("changes", "expected"), [
    ({"traces": [trace([4.0, 1.0])]}, "F6-incomplete"),
    ({"traces": [trace(FALLING, outside=4)]}, "F6-incomplete"),
    ({"traces": [trace(broken=True)]}, "F6-loss"),
    ({"traces": []}, "F6-loss"),
    ({"traces": [], "rowwise": False}, "F6-loss"),
    ({"access": "scores", "traces": [trace(FALLING, noise=0.5)]}, "F6-loss"),
    ({"access": "decision", "traces": [trace(FALLING, noise=0.5)]}, "F6-loss"),
])
def test_what_cannot_be_said_is_named(changes: dict[str, object], expected: str) -> None:
    findings, unchecked = said(replace(CELL, **changes))
    assert not findings
    assert set(unchecked) == {expected}
    assert unchecked[expected].why.startswith("pgd on net at ε 0.1: ")


def test_a_lost_success_is_found_in_a_search_without_gradients() -> None:
    findings, _ = said(replace(CELL, access="scores", traces=[trace(won=True)]))
    assert set(findings) == {"F6-path"}
