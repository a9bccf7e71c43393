"""Prunings that cannot work are told before anything is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import robench
from robench.errors import UserError

from .conftest import tiny


@pytest.mark.parametrize(("changed", "told"), [
    ({"models": ["mlp"], "pruning": {"method": "structured-l1", "rates": [0.5]}},
     ["models[0] mlp", "no convolutions", "'structured-l1'", "expected method l1"]),
    ({"models": ["mlp"], "pruning": {"layers": "conv", "rates": [0.5]}},
     ["models[0] mlp", "nothing to prune", "got 'conv'"]),
    ({"recipes": [{"meddef-at": {}}], "pruning": {"retrain": 2, "rates": [0.5]}},
     ["recipes[0] meddef-at", "schedule does not fit", "warm_up_epochs 8"]),
    ({"recipes": [{"denoiser": {}}], "models": ["autoencoder-resnet34"],
      "pruning": {"retrain": 2, "rates": [0.5]}},
     ["pruning.retrain", "recipe 'denoiser'", "setting epochs"]),
], ids=["structured", "layers", "phases", "no-epochs"])
def test_told_before_anything_is_made(
    store: Path, changed: dict[str, Any], told: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        robench.run(tiny(**{"attacks": ["fgsm"], **changed}), store=store)
    message = str(caught.value)
    assert len(message.splitlines()) <= 2
    for part in told:
        assert part in message
    assert not (store / "checkpoint").exists()


def test_a_rate_of_zero_prunes_nothing(store: Path) -> None:
    run = robench.run(
        tiny(models=["mlp"], pruning={"method": "structured-l1", "rates": [0]},
             attacks=["fgsm"], recipes=[{"standard": {"epochs": 1}}], samples=10), store=store)
    assert run.failures() == ()
