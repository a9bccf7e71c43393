"""Cells computed again: what a failed attack looks like then."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import robench
from robench.cli.main import app
from robench.errors import UserError
from robench.probing import probe
from robench.registry import plugins as entry_points
from robench.results import find_run
from tests.runner import masks
from tests.runner.conftest import tiny

ONE = {"pruning": {"rates": [0]}, "epsilons": [0.1], "samples": 60}


def test_an_attack_at_its_end_leaves_no_finding_of_a_probe(tmp_path: Path) -> None:
    run = robench.run(tiny(**ONE, attacks=[{"apgd": {"steps": 40}}]), store=tmp_path)
    done = probe(run, cells=1)
    assert not {found.check for found in done.findings} & {
        "F6-unbounded", "F7-steps", "F7-ladder", "F7-noise", "F6-unstable", "F6-incomplete",
        "F6-path"}
    assert not {gap.check for gap in done.unchecked} & {"F6-loss", "F6-unbounded", "F7-steps"}


def test_too_few_steps_are_found_out(tmp_path: Path) -> None:
    run = robench.run(tiny(**ONE, attacks=[{"bim": {"steps": 2, "step_size": 0.02}}]),
                      store=tmp_path)
    (key,) = [cell["key"] for cell in run.record["cells"]]
    found = {one.check: one for one in probe(run).findings}
    assert found["F7-steps"].rows == (key,)
    assert "more of 60 images" in found["F7-steps"].message
    assert found["F7-steps"].paper == run.id
    assert find_run(run.store, None).id == run.id, "the probes are not the latest run"


def test_an_attack_that_descends_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import robench.attacks.pgd as module

    ascent = module.ascent_direction
    monkeypatch.setattr(module, "ascent_direction", lambda slope, norm: -ascent(slope, norm))
    run = robench.run(tiny(**ONE, attacks=[{"bim": {"steps": 10}}]), store=tmp_path)
    checks = {one.check for one in probe(run).findings}
    assert {"F6-unbounded", "A8"} <= checks


def test_a_mask_without_its_stand_in_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry_points, "find", masks.plugins)
    monkeypatch.setattr(masks.hard_quantisation, "differentiable", True)
    run = robench.run({
        "name": "masked", "datasets": ["shades"], "models": ["halves"], "recipes": ["none"],
        "defenses": ["hard-quantisation"], "attacks": ["bim"], "epsilons": [0.25],
    }, store=tmp_path)
    assert run.leaderboard()["robust_accuracy"].min() == 1
    assert {"F6-unbounded", "A8"} <= {one.check for one in probe(run).findings}


def test_a_run_without_a_cell_to_probe(tmp_path: Path) -> None:
    run = robench.run(tiny(**ONE, attacks=["noise", "deepfool"]), store=tmp_path)
    with pytest.raises(UserError, match="nothing to probe"):
        probe(run)


def test_by_command(tmp_path: Path) -> None:
    robench.run(tiny(**ONE, attacks=[{"bim": {"steps": 2, "step_size": 0.02}}]), store=tmp_path)
    shown = CliRunner().invoke(app, ["audit", "--store", str(tmp_path), "--probe", "1"])
    assert shown.exit_code == 0, shown.output
    assert "F7-steps" in shown.output
    refused = CliRunner().invoke(app, ["audit", "published", "--probe", "1"])
    assert refused.exit_code != 0
