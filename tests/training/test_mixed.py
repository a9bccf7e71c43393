"""What happens on a GPU, made to happen on the CPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import robench
from robench.registry import Registry
from robench.training import mixed as module
from robench.training.monitor import SilentMonitor
from robench.training.state import TrainingState


class _Keeps(SilentMonitor):
    def __init__(self) -> None:
        self.states: list[bytes] = []

    def save(self, state: TrainingState) -> None:
        self.states.append(state.to_bytes())


class _Watches(nn.Module):
    """Says in which arithmetic it was asked, in train and in eval mode."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.asked: set[tuple[str, bool]] = set()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mode = "training" if self.training else "eval"
        self.asked.add((mode, torch.is_autocast_enabled("cpu")))
        logits: torch.Tensor = self.network(images)
        return logits


@pytest.mark.parametrize(("recipe", "settings"), [
    ("standard", {"learning_rate": 0.003}),
    ("pgd-at", {"learning_rate": 0.003, "epsilon": 0.05, "step_size": 0.03, "steps": 2,
                "validation_steps": 2}),
    ("trades", {"learning_rate": 0.003, "epsilon": 0.05, "step_size": 0.03, "steps": 2,
                "validation_steps": 2}),
])
def test_updates_in_bfloat16_crafting_in_float32(
    monkeypatch: pytest.MonkeyPatch, recipe: str, settings: dict[str, Any]
) -> None:
    monkeypatch.setattr(module, "_DEVICES", ("cpu",))
    data = robench.dataset("digits", limit={"train": 600, "validation": 60})
    network = _Watches(robench.model("small-cnn", num_classes=10, image_size=8, in_channels=1,
                                     width=8))
    keeps = _Keeps()
    Registry.discover().get("recipe", recipe).load()(
        network, data, device="cpu", seed=0, epochs=3, batch_size=32, monitor=keeps, **settings)
    assert ("training", True) in network.asked
    assert ("eval", True) not in network.asked  # crafting and measuring
    assert all(weight.dtype == torch.float32 for weight in network.parameters())
    assert any(weight.is_contiguous(memory_format=torch.channels_last)
               and not weight.is_contiguous() for weight in network.parameters())
    assert TrainingState.from_bytes(keeps.states[-1]).history[-1].validation_accuracy > 0.6


def test_on_a_cpu_nothing_is_mixed() -> None:
    with module.mixed(torch.device("cpu")):
        assert not torch.is_autocast_enabled("cpu")
    network = nn.Conv2d(3, 4, 3)
    assert module.arranged_for(torch.device("cpu"), network).weight.is_contiguous()
