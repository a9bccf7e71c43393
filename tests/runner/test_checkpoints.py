"""Checkpoints are found, made once, or left to the process that is making them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import robench
from robench.matrix import load
from robench.plan import Target
from robench.planning import make_plan
from robench.registry import Registry
from robench.runner.checkpoints import Checkpoints
from robench.runner.events import Listener
from robench.runner.prepare import facts_of
from robench.store import Store

from .conftest import tiny


@pytest.fixture(scope="module")
def target() -> Target:
    """A target that needs a training, a first step and a second one."""
    dataset = robench.dataset("digits", limit={"train": 60, "validation": 20})
    matrix = load(tiny(
        recipes=[{"standard": {"epochs": 1}}], attacks=["fgsm"],
        pruning={"rates": [0.3, 0.5], "schedule": "compounding", "retrain": 1},
    ), Registry.discover())
    return make_plan(matrix, {"digits": facts_of(dataset)}, {}).targets[-1]


@pytest.fixture
def checkpoints(store: Path) -> Checkpoints:
    dataset = robench.dataset("digits", limit={"train": 60, "validation": 20})
    return Checkpoints(Store(store), {"digits": dataset}, Registry.discover(), Listener(),
                       torch.device("cpu"))


@pytest.mark.parametrize("step", ["training", "before", "itself"])
def test_what_another_process_is_making_is_left_to_it(
    checkpoints: Checkpoints, target: Target, step: str
) -> None:
    remaking = target.remaking
    assert remaking is not None
    assert remaking.before is not None
    keys = {"training": target.training.key, "before": remaking.before.key,
            "itself": remaking.key}
    with checkpoints.store.claim(keys[step], wait=True):
        assert checkpoints.of(target, wait=False) is None
        assert not checkpoints.store.has("checkpoint", remaking.key)
    made = checkpoints.of(target, wait=False)
    assert made is not None
    assert all(checkpoints.store.read("checkpoint", key) for key in keys.values())
    with checkpoints.store.claim(keys[step], wait=True):
        assert checkpoints.of(target, wait=False) == made, "what is there needs no claim"
