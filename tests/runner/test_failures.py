"""What goes wrong while a matrix runs: it is recorded, the rest is done, nothing is lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import robench
from robench.attacks.fgsm import FGSM
from robench.results import Run
from robench.scoring.leaderboard import rows_equal
from robench.victim import Victim

from .conftest import tiny
from .test_run import assert_same_outcomes


def test_a_failing_attack_is_recorded_and_the_rest_is_done(
    undisturbed: Run, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(self: FGSM, *args: Any, **settings: Any) -> torch.Tensor:
        raise RuntimeError("no gradient today")

    with monkeypatch.context() as patch:
        patch.setattr(FGSM, "perturb", explode)
        run = robench.run(tiny(), store=store)
    assert len(run.failures()) == 4
    assert {failure.error for failure in run.failures()} == {"RuntimeError: no gradient today"}
    assert "explode" in (run.store.read_failure(run.failures()[0].key) or {})["traceback"]
    assert set(run.leaderboard().attack) == {"noise", "pgd", "worst-case"}

    mended = robench.run(tiny(), store=store)
    assert mended.failures() == ()
    assert rows_equal(mended.leaderboard(), undisturbed.leaderboard())


def test_a_failing_training_fails_only_its_own_cells(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import robench.training.standard as module

    whole = module.train

    def explode(*args: Any, settings: Any, **rest: Any) -> Any:
        if settings.epochs == 1:
            raise ValueError("this one diverges")
        return whole(*args, settings=settings, **rest)

    monkeypatch.setattr(module, "train", explode)
    recipes = [{"standard": {"epochs": 1}, "label": "short"}, {"standard": {"epochs": 2}}]
    run = robench.run(tiny(recipes=recipes, attacks=["fgsm"], pruning={"rates": [0]}), store=store)
    assert {failure.error for failure in run.failures()} == {"ValueError: this one diverges"}
    assert set(run.leaderboard().recipe) == {"standard"}


def test_out_of_memory_is_answered_by_smaller_batches(
    undisturbed: Run, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Victim.gradient
    sizes: list[int] = []

    def small_memory(self: Victim, images: Any, labels: Any, loss: Any) -> Any:
        sizes.append(len(images))
        if len(images) > 40:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return whole(self, images, labels, loss)

    monkeypatch.setattr(Victim, "gradient", small_memory)
    run = robench.run(tiny(), store=store)
    assert run.failures() == ()
    assert max(sizes) > 40
    assert_same_outcomes(undisturbed, run)


def test_memory_too_small_for_a_tile_halves_the_tile(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Victim._logits

    def tiny_memory(self: Victim, images: Any, *rest: Any, **settings: Any) -> Any:
        if len(images) > 8:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return whole(self, images, *rest, **settings)

    monkeypatch.setattr(Victim, "_logits", tiny_memory)
    run = robench.run(tiny(attacks=["fgsm"], pruning={"rates": [0]}), store=store)
    assert run.failures() == ()
    assert len(run.leaderboard()) == 4


def test_an_error_that_is_not_memory_is_not_retried(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def explode(self: FGSM, *args: Any, **settings: Any) -> torch.Tensor:
        calls.append(1)
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(FGSM, "perturb", explode)
    robench.run(tiny(attacks=["fgsm"], pruning={"rates": [0]}), store=store)
    assert len(calls) == 1


@pytest.mark.parametrize("kind", ["outcomes", "checkpoint", "clean"])
def test_a_file_altered_by_hand_is_made_again(undisturbed: Run, store: Path, kind: str) -> None:
    robench.run(tiny(), store=store)
    told: list[Path] = []
    for path in sorted((store / kind).rglob("*.*.*")):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(bytes(content))
    if kind != "outcomes":  # they are only looked at where something is to be made
        for path in (store / "outcomes").rglob("*.parquet"):
            path.unlink()
    from robench import api

    run = api.plan(tiny(), store=store, altered=told.append).execute()
    assert told
    assert_same_outcomes(undisturbed, run)
    pd.testing.assert_frame_equal(
        run.leaderboard().drop(columns="seconds"),
        undisturbed.leaderboard().drop(columns="seconds"),
    )


def test_a_full_disk_keeps_what_was_finished(
    undisturbed: Run, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = os.fsync
    left = [12]

    def full(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        whole(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(robench.UserError, match="the disk is full"):
            robench.run(tiny(), store=store)
    made = list((store / "outcomes").rglob("*.parquet"))
    assert 0 < len(made) < 12
    assert not list(store.rglob("*.tmp"))
    run = robench.run(tiny(), store=store)
    assert {path for path in made if path.exists()} == set(made)
    assert rows_equal(run.leaderboard(), undisturbed.leaderboard())


def test_a_network_that_mixes_its_rows_is_found_out_and_run_whole(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import robench.models.small_cnn as module

    class CentredOnTheBatch(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images - images.mean(dim=0, keepdim=True)

    whole, seen = module.small_cnn, []

    def mixing(**settings: Any) -> torch.nn.Module:
        return torch.nn.Sequential(CentredOnTheBatch(), whole(**settings))

    gradients = Victim.gradients

    def watched(self: Victim, images: Any, *rest: Any, **settings: Any) -> Any:
        seen.append(len(images))
        return gradients(self, images, *rest, **settings)

    monkeypatch.setattr(module, "small_cnn", mixing)
    monkeypatch.setattr(Victim, "gradients", watched)
    run = robench.run(tiny(attacks=[{"pgd": {"steps": 3}}], pruning={"rates": [0]}), store=store)
    board = run.leaderboard()
    assert all("batch-dependent" in flags.split(",") for flags in board["flags"])
    assert set(seen) == {70}, "no image leaves the batch"
    frame = run.outcomes(run.record["cells"][-1]["key"])
    assert (frame.forwards[~frame.clean_correct] == 0).all()
    assert board.asr.max() > 0
