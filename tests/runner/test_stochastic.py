"""A victim that draws random numbers in every pass: attacked like any other, and said to be so."""

from __future__ import annotations

from pathlib import Path

import torch

import robench

from .conftest import tiny
from .test_run import assert_same_outcomes

SWITCHING = {
    "models": [{"aebs": {"base": "small-cnn", "channels": 2, "width": 2}}],
    "recipes": [{"standard": {"epochs": 1, "learning_rate": 0.003}}],
    "pruning": {"rates": [0]}, "attacks": ["fgsm", {"pgd": {"steps": 3}}], "samples": 40,
}


def test_a_second_run_gives_the_same_outcomes(tmp_path: Path) -> None:
    first = robench.run(tiny(**SWITCHING), store=tmp_path / "one")
    torch.rand(17)  # the global random state of the caller is of no account
    second = robench.run(tiny(**SWITCHING), store=tmp_path / "other")
    assert_same_outcomes(first, second)
    flags = {flag for cell in first.leaderboard()["flags"] for flag in cell.split(",")}
    assert "stochastic" in flags
    assert "batch-dependent" not in flags


def test_the_callers_random_state_is_as_before(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    robench.run(tiny(**SWITCHING), store=tmp_path / "one")
    assert torch.equal(torch.rand(3), expected)
