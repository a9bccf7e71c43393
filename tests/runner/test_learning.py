"""An attack that learns, in a run: on training images, the same however the run goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

import robench
from robench.attacks.uap import UAP
from robench.data.allocation import hash_order
from robench.errors import UserError
from robench.matrix import load
from robench.registry import Registry
from robench.results import Run
from robench.runner.learning import learn, lessons
from robench.victim import Victim

from .conftest import tiny
from .test_run import assert_same_outcomes
from .test_stochastic import SWITCHING

LEARNED = {"uap": {"images": 200, "epochs": 3, "batch_size": 64}}
DIGITS = {"limit": {"train": 800, "validation": 60}}


def _asked(**changes: Any) -> dict[str, Any]:
    return tiny(**{"attacks": [LEARNED], "pruning": {"rates": [0]}, **changes})


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return robench.run(_asked(), store=tmp_path_factory.mktemp("learned"))


def _pixels(split: robench.Split) -> torch.Tensor:
    return torch.from_numpy(np.asarray(split.images[:])).permute(0, 3, 1, 2).float() / 255


def test_the_outcomes_are_those_of_an_attack_fitted_by_hand(learned: Run) -> None:
    dataset = robench.dataset("digits", **DIGITS)
    assert dataset.train is not None
    assert dataset.test is not None
    first = hash_order(dataset.train.image_ids, salt="lessons")[:200]
    chosen = dataset.train.select(first)
    cell = learned.record["cells"][1]
    content = learned.store.read("checkpoint", cell["checkpoint"])
    network = robench.model("small-cnn", width=12, num_classes=10, in_channels=1, image_size=8)
    network.load_state_dict(safetensors.torch.load(content or b""))
    attack = robench.attack("uap", **LEARNED["uap"]).fit(
        network, _pixels(chosen), torch.from_numpy(chosen.labels), epsilons=[0.05, 0.15])
    frame = learned.outcomes(cell["key"])
    rows = [int(np.flatnonzero(dataset.test.image_ids == name)[0]) for name in frame.image_id]
    test = dataset.test.select(rows)
    result = attack(network, _pixels(test), torch.from_numpy(test.labels), epsilons=[0.05, 0.15],
                    image_ids=list(frame.image_id))[1]
    assert result.success.tolist() == frame.success.tolist()
    assert 0 < int(frame.success.sum())
    assert frame.forwards[frame.clean_correct].unique().tolist() == [1]
    assert frame.backwards.max() == 0


def test_what_is_found_already_changes_nothing(learned: Run, tmp_path: Path) -> None:
    """Each rung alone, then all: every epsilon is learned as if it were the only one."""
    store = tmp_path / "store"
    robench.run(_asked(epsilons=[0.05]), store=store)
    assert_same_outcomes(learned, robench.run(_asked(), store=store))


def test_any_batch_size(learned: Run, tmp_path: Path) -> None:
    assert_same_outcomes(learned, robench.run(_asked(), store=tmp_path / "store", batch_size=17))


def test_learning_is_in_the_seconds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def slow(*args: Any, **settings: Any) -> float:
        return learn(*args, **settings) + 1000

    monkeypatch.setattr("robench.runner.crafting.learn", slow)
    board = robench.run(_asked(), store=tmp_path / "store").leaderboard()
    seconds = board[board.attack == "uap"].seconds
    assert len(seconds) == 2
    assert ((seconds > 500) & (seconds < 600)).all(), "shared by both cells"


def test_memory_that_runs_out_halves_the_tiles(
    learned: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, fit = Victim._logits, UAP.fit
    tiles: list[int] = []
    fitting: list[bool] = []

    def small_memory(
        self: Victim, images: torch.Tensor, real: int, **settings: bool
    ) -> torch.Tensor:
        tiles.append(len(images))
        if fitting and len(images) > 16:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, images, real, **settings)

    def watched(self: UAP, *args: Any, **settings: Any) -> UAP:
        fitting.append(True)
        try:
            return fit(self, *args, **settings)
        finally:
            fitting.clear()

    monkeypatch.setattr(Victim, "_logits", small_memory)
    monkeypatch.setattr(UAP, "fit", watched)
    run = robench.run(_asked(), store=tmp_path / "store")
    assert run.failures() == ()
    assert {16, 32} <= set(tiles)


def test_what_cannot_be_helped_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(self: UAP, *args: Any, **settings: Any) -> UAP:
        raise RuntimeError("nothing to learn today")

    monkeypatch.setattr(UAP, "fit", explode)
    run = robench.run(_asked(attacks=["fgsm", LEARNED]), store=tmp_path / "store")
    assert {failure.error for failure in run.failures()} == {"RuntimeError: nothing to learn today"}
    assert len(run.failures()) == 2
    assert set(run.leaderboard().attack) == {"fgsm", "worst-case"}


@pytest.mark.parametrize("seen", ["train", "validation"])
def test_lessons_are_never_test_images(seen: str) -> None:
    uap = load(_asked(), Registry.discover()).attacks[0]
    whole = robench.dataset("digits", **DIGITS)
    splits = {"train": whole.train if seen == "train" else None, "validation": whole.validation}
    dataset = robench.Dataset("digits", class_names=whole.class_names, test=whole.test, **splits)
    few, more = (lessons(dataset, count, attack=uap, label="digits") for count in (20, 50))
    assert len(few) == 20
    assert set(few.image_ids) < set(more.image_ids) < set(dataset.splits[seen].image_ids)
    every = lessons(dataset, 10**6, attack=uap, label="digits")
    assert len(every) == len(dataset.splits[seen])


def test_a_data_set_with_nothing_to_learn_from_is_refused_before_anything_is_made(
    tmp_path: Path,
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "only.npz", test_images=images, test_labels=np.arange(40) % 2)
    weights = tmp_path / "mine.safetensors"
    network = robench.model("small-cnn", width=4, num_classes=2, in_channels=1, image_size=8)
    safetensors.torch.save_file(network.state_dict(), weights)
    asked = {
        "name": "only", "attacks": ["uap"], "epsilons": [0.1],
        "datasets": [{"npz": {"path": str(tmp_path / "only.npz")}, "label": "mine"}],
        "models": [{"small-cnn": {"width": 4, "checkpoint": str(weights)}}],
    }
    with pytest.raises(UserError) as caught:
        robench.run(asked, store=tmp_path / "store")
    assert "attack 'uap' learns from images that it is not judged on" in str(caught.value)
    assert "data set 'mine' has none, got 'test'" in str(caught.value)
    assert "expected a train or validation split" in str(caught.value)
    assert "attacks" in str(caught.value)


def test_nothing_that_is_learned_is_stored(learned: Run, undisturbed: Run) -> None:
    kinds = [
        {path.relative_to(run.store.folder).parts[0]
         for path in run.store.folder.rglob("*") if path.is_file()}
        for run in (learned, undisturbed)
    ]
    assert kinds[0] == kinds[1]
    assert "outcomes" in kinds[0]


def test_on_a_victim_that_draws_it_repeats(tmp_path: Path) -> None:
    attack = {"uap": {"images": 40, "epochs": 2, "batch_size": 20}}
    asked = tiny(**{**SWITCHING, "attacks": [attack], "epsilons": [0.15], "samples": 20})
    one, other = (
        robench.run(asked, store=tmp_path / name)
        for name in ("one", "other")
    )
    assert_same_outcomes(one, other)
