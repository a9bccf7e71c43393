"""Pruned networks that are trained again or re-estimated: against the same steps by hand."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

import robench
from robench.defenses.batchnorm import reestimate_batchnorm
from robench.defenses.pruning import prunable, prune_network, size
from robench.plan import Remaking, Training
from robench.results import Run
from robench.runner.events import Listener
from robench.runner.remaking import BATCHNORM_BATCH, BATCHNORM_IMAGES, estimation_batches
from robench.training.masks import hold_zeros, release_zeros
from robench.training.monitor import EpochReport
from robench.training.standard import standard

from .conftest import tiny
from .test_run import assert_same_outcomes

STEPS = {"scope": "layerwise", "schedule": "compounding", "rates": [0, 0.3, 0.5]}
DIGITS = robench.dataset("digits", limit={"train": 800, "validation": 60})


def asked(**pruning: Any) -> dict[str, Any]:
    return tiny(pruning=pruning, attacks=["fgsm"], epsilons=[0.05], samples=40,
                recipes=[{"standard": {"epochs": 3, "learning_rate": 0.003}}])


class Heard(Listener):
    """What was trained, and for how many epochs."""

    def __init__(self, *, until: int = 10**6) -> None:
        self.begun: list[str] = []
        self.epochs: list[tuple[int, int]] = []
        self._until = until

    def training(self, training: Training | Remaking) -> None:
        self.begun.append(training.label.removeprefix("small-cnn · standard · digits"))

    def epoch(self, report: EpochReport) -> None:
        self.epochs.append((report.epoch, report.epochs))
        if len(self.epochs) == self._until:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The network without any pruning: copy its store before changing it."""
    return robench.run(asked(rates=[0]), store=tmp_path_factory.mktemp("trained"))


@pytest.fixture
def store(trained: Run, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained.store.folder, tmp_path / "store"))


def network(run: Run, rate: float) -> nn.Module:
    """The network of a checkpoint that the rows of a run name."""
    (key,) = {cell["checkpoint"] for cell in run.record["cells"] if cell["pruning_rate"] == rate}
    found = robench.model("small-cnn", width=12, num_classes=10, in_channels=1, image_size=8)
    found.load_state_dict(safetensors.torch.load(run.store.read("checkpoint", key) or b""))
    return found


def masks(network: nn.Module) -> list[Tensor]:
    return [layer.weight.detach() == 0 for layer in prunable(network)]


def assert_same(one: nn.Module, other: nn.Module) -> None:
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_trained_between_steps_as_by_hand(trained: Run, store: Path) -> None:
    heard = Heard()
    run = robench.run(asked(**STEPS, retrain=2), store=store, listener=heard)
    assert heard.begun == [" · pruned 0.3", " · pruned 0.5"], "the network itself was there"
    assert heard.epochs == [(1, 2), (2, 2)] * 2
    assert_same(network(run, 0.0), network(trained, 0.0))

    by_hand = network(trained, 0.0)
    for rate, again in ((0.3, False), (0.5, True)):
        prune_network(by_hand, [rate], scope="layerwise", pruned_before=again)
        pruned = masks(by_hand)
        hold_zeros(prunable(by_hand))
        standard(by_hand, DIGITS, device="cpu", seed=0, epochs=2, learning_rate=0.003)
        release_zeros(by_hand)
        found = network(run, rate)
        assert_same(found, by_hand)
        assert all(torch.equal(*pair) for pair in zip(masks(found), pruned, strict=True))
    first, second = masks(network(run, 0.3)), masks(network(run, 0.5))
    assert all(bool((later | ~before).all()) for before, later in zip(first, second, strict=True))

    again = Heard()
    assert_same_outcomes(run, robench.run(asked(**STEPS, retrain=2), store=store, listener=again))
    assert again.begun == []
    jpeg = {**asked(**STEPS, retrain=2), "defenses": ["none", "jpeg"]}
    robench.run(jpeg, store=store, listener=again)
    assert again.begun == [], "a defense goes around the network that was trained again"


def test_the_measured_size_stands_with_the_nominal_rate(trained: Run, store: Path) -> None:
    run = robench.run(asked(**STEPS, retrain=1), store=store)
    board = run.leaderboard()
    board = board[board.attack == "fgsm"]
    assert board.pruning_rate.tolist() == [0.0, 0.3, 0.5]
    assert board.sparsity.to_numpy() == pytest.approx([0, 0.3, 0.65], abs=1e-3)
    for cell, _, metadata in run.cells():
        expected = size(network(run, cell.pruning_rate))
        assert metadata["parameters_left"] == expected.parameters_left
        assert metadata["sparsity"] == expected.sparsity


def test_steps_without_training(trained: Run, store: Path) -> None:
    heard = Heard()
    run = robench.run(asked(**STEPS), store=store, listener=heard)
    assert heard.begun == []
    by_hand = network(trained, 0.0)
    expected = [prune_network(by_hand, [rate], scope="layerwise", pruned_before=rate > 0.3)
                for rate in (0.0, 0.3, 0.5)]
    assert [metadata["sparsity"] for *_, metadata in run.cells()] == [
        each.sparsity for each in expected]


def test_one_shot_starts_anew(trained: Run, store: Path) -> None:
    run = robench.run(asked(rates=[0.3, 0.5], retrain=1), store=store)
    by_hand = network(trained, 0.0)
    prune_network(by_hand, [0.5])
    pruned = masks(by_hand)
    assert all(torch.equal(*pair) for pair in zip(masks(network(run, 0.5)), pruned, strict=True))


def test_an_interrupted_training_goes_on(store: Path, tmp_path: Path) -> None:
    whole = shutil.copytree(store, tmp_path / "whole")
    matrix = asked(**STEPS, retrain=2)
    with pytest.raises(KeyboardInterrupt):
        robench.run(matrix, store=store, listener=Heard(until=3))
    heard = Heard()
    run = robench.run(matrix, store=store, listener=heard)
    assert heard.epochs == [(2, 2)], "the first step and half of the second were there"
    assert_same(network(run, 0.5), network(robench.run(matrix, store=whole), 0.5))
    assert list((store / "progress").iterdir()) == []


def test_statistics_on_training_images(trained: Run, store: Path) -> None:
    run = robench.run(asked(rates=[0, 0.6], reestimate_batchnorm=True), store=store)
    by_hand = network(trained, 0.0)
    prune_network(by_hand, [0.6])
    plain = {name: tensor.clone() for name, tensor in by_hand.state_dict().items()}
    assert reestimate_batchnorm(by_hand, estimation_batches(DIGITS, torch.device("cpu"))) > 0
    found = network(run, 0.6)
    assert_same(found, by_hand)
    changed = {name for name, tensor in found.state_dict().items()
               if not torch.equal(tensor, plain[name])}
    assert changed
    assert all(name.rpartition(".")[2] in ("running_mean", "running_var", "num_batches_tracked")
               for name in changed)


def test_what_statistics_are_estimated_on() -> None:
    train = DIGITS.train
    assert train is not None
    known = {image.tobytes() for image in np.asarray(train.images[:])}
    batches = list(estimation_batches(DIGITS, torch.device("cpu")))
    images = torch.cat(batches)
    assert len(images) == min(BATCHNORM_IMAGES, len(train))
    assert {len(batch) for batch in batches[:-1]} == {BATCHNORM_BATCH}
    back = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    assert {image.tobytes() for image in back} <= known
    again = torch.cat(list(estimation_batches(DIGITS, torch.device("cpu"))))
    assert torch.equal(again, images)


def test_statistics_and_training(trained: Run, store: Path) -> None:
    pruning = {"rates": [0.5], "method": "structured-l2", "scope": "layerwise"}
    run = robench.run(asked(**pruning, retrain=1, reestimate_batchnorm=True), store=store)
    by_hand = network(trained, 0.0)
    prune_network(by_hand, [0.5], method="structured-l2", scope="layerwise")
    reestimate_batchnorm(by_hand, estimation_batches(DIGITS, torch.device("cpu")))
    hold_zeros(prunable(by_hand)[:-1])
    standard(by_hand, DIGITS, device="cpu", seed=0, epochs=1, learning_rate=0.003)
    release_zeros(by_hand)
    assert_same(network(run, 0.5), by_hand)


def test_images_for_another_network_come_from_it_too(store: Path) -> None:
    matrix = {**asked(rates=[0, 0.5], retrain=1), "threats": [
        {"transfer": {"surrogate": "itself", "pruning_rate": 0.5}}]}
    run = robench.run(matrix, store=store)
    board = run.leaderboard()
    assert run.failures() == ()
    assert set(board.surrogate) == {"small-cnn · pruned 0.5"}


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """A third party's recipe that goes around torch's modules."""
    import robench.runner.remaking as module

    def filled(network: nn.Module, *_: Any, **__: Any) -> nn.Module:
        release_zeros(network)
        for weight in network.parameters():
            nn.init.ones_(weight)
        return network

    monkeypatch.setattr(module, "run_recipe", filled)


@pytest.mark.usefixtures("forgetful")
def test_weights_that_come_back_fail_their_own_cells(store: Path) -> None:
    run = robench.run(asked(rates=[0, 0.5], retrain=1), store=store)
    (failure,) = run.failures()
    assert "brings pruned weights back" in failure.error
    assert set(run.leaderboard().pruning_rate) == {0.0}
