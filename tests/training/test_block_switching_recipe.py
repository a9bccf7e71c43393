"""The recipe `block-switching`: what each phase moves, what is kept, and what it teaches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from robench.models.autoencoder import DenoisedClassifier
from robench.models.block_switching import SwitchedClassifier, aebs
from robench.training.batches import to_pixels
from robench.training.block_switching import block_switching
from robench.training.state import TrainingState, tensors_of

from .stand_ins import (
    InterruptedByTestError,
    Recorder,
    digits_data,
    same_bits,
    striped_data,
)

ON_CPU: dict[str, Any] = {"device": "cpu", "seed": 0}
SHORT: dict[str, Any] = {
    "sub_model_epochs": 1, "denoiser_epochs": 2, "switching_epochs": 2, "batch_size": 8,
    "epsilons": (0.05, 0.1), **ON_CPU,
}  # fmt: skip


def network(*, classes: int = 2, channels: int = 2, split: int | None = None) -> DenoisedClassifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        made = aebs(num_classes=classes, in_channels=1, image_size=(8, 8), base="small-cnn",
                    channels=channels, split=split, width=4)  # fmt: skip
    assert isinstance(made, DenoisedClassifier)
    return made


@dataclass
class States(Recorder):
    """Remembers all tensors that are trained after every epoch."""

    after: list[Mapping[str, Tensor]] = field(default_factory=list)

    def save(self, state: TrainingState) -> None:
        super().save(state)
        self.after.append(state.network)


def part_of(name: str) -> str:
    """`uppers.1`, `denoiser`, `channels.0` or `upper`."""
    words = name.removeprefix("network.").removeprefix("classifier.").split(".")
    return ".".join(words[:2]) if words[0] in ("uppers", "channels") else words[0]


@pytest.mark.parametrize("split", [None, 2])
def test_each_phase_moves_its_parts_alone(split: int | None) -> None:
    trained, recorder = network(split=split), States()
    first = {f"network.{name}": tensor for name, tensor in tensors_of(trained).items()}
    block_switching(trained, striped_data(), monitor=recorder, **SHORT)
    states = recorder.after
    for name, tensor in first.items():
        if part_of(name) != "channels.0":
            assert torch.equal(states[0][name], tensor), name
    changes = [
        {part_of(name) for name in one if not torch.equal(one[name], other[name])}
        for one, other in zip([{**states[0], **first}, *states[:-1]], states, strict=True)
    ]
    assert changes == [
        {"channels.0"},  # and its upper part, whose first weights nobody saw
        {"channels.1", "uppers.1"},
        {"denoiser"},
        {"denoiser"},
        {"channels.0", "channels.1", "upper"},
        {"channels.0", "channels.1", "upper"},
    ]
    frozen = {name for name in states[1] if part_of(name) == "uppers.0"}
    assert frozen
    assert all(torch.equal(states[0][name], states[-1][name]) for name in frozen)


def test_the_upper_parts_of_the_sub_models_are_dropped() -> None:
    trained = network()
    names = set(trained.state_dict())
    assert block_switching(trained, striped_data(), **SHORT) is trained
    assert set(trained.state_dict()) == names
    assert not any(module.training for module in trained.modules())
    assert all(weight.grad is None for weight in trained.parameters())


def test_sub_models_have_upper_parts_of_their_own() -> None:
    recorder = States()
    block_switching(network(channels=3), striped_data(), monitor=recorder, **SHORT)
    weights = [tensor for name, tensor in recorder.after[0].items()
               if part_of(name) in ("upper", "uppers.1", "uppers.2") and tensor.dim() == 2]
    assert len(weights) == 3
    assert not any(torch.equal(one, other)
                   for place, one in enumerate(weights) for other in weights[place + 1:])


@pytest.mark.parametrize(
    ("corruption", "stop"),
    [("fgsm", {"stop_after_epoch": epoch}) for epoch in (2, 4)]
    + [("fgsm", {"stop_at_batch": (epoch, 2)}) for epoch in (2, 4, 6)]
    + [("gaussian", {"stop_at_batch": (4, 2)})],
)
def test_taken_up_again_it_ends_in_the_same_bits(corruption: str, stop: dict[str, Any]) -> None:
    data, recipe = striped_data(41), partial(block_switching, corruption=corruption, **SHORT)
    undisturbed = Recorder()
    expected = recipe(network(), data, monitor=undisturbed)
    recorder = Recorder(**stop)
    with pytest.raises(InterruptedByTestError):
        recipe(network(), data, monitor=recorder)
    torch.rand(5)
    again = Recorder(stored=recorder.stored)
    assert same_bits(recipe(network(), data, monitor=again), expected)
    timeless = [[replace(report, seconds=0.0, seconds_left=0.0) for report in reports]
                for reports in ([*recorder.reports, *again.reports], undisturbed.reports)]
    assert timeless[0] == timeless[1]


def test_seed_decides_and_the_callers_random_state_does_not() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = block_switching(network(), striped_data(), **SHORT)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert same_bits(block_switching(network(), striped_data(), **SHORT), first)
    other = block_switching(network(), striped_data(), **{**SHORT, "seed": 1})
    assert not same_bits(other, first)


def test_the_switching_phase_alone_is_selected_from_and_rates_are_its_own() -> None:
    recorder = Recorder()
    block_switching(network(), striped_data(), monitor=recorder, learning_rate=0.01,
                    denoiser_learning_rate=0.02, switching_learning_rate=0.003,
                    schedule="constant", **SHORT)  # fmt: skip
    assert [report.learning_rate for report in recorder.reports] == [
        0.01, 0.01, 0.02, 0.02, 0.003, 0.003]  # fmt: skip
    assert [report.selected for report in recorder.reports[:5]] == [False] * 4 + [True]
    assert [report.robust_accuracy is None for report in recorder.reports] == [True] * 4 + [
        False] * 2  # fmt: skip


def test_every_channel_learns_digits_under_the_shared_upper_part() -> None:
    data = digits_data()
    trained = block_switching(
        network(classes=10, channels=3), data, sub_model_epochs=2, denoiser_epochs=3,
        switching_epochs=3, learning_rate=0.005, denoiser_learning_rate=0.01,
        epsilons=(0.05, 0.1), **ON_CPU,
    )  # fmt: skip
    assert isinstance(trained, DenoisedClassifier)
    assert isinstance(trained.classifier, SwitchedClassifier)
    images = to_pixels(data.test.images, torch.device("cpu"))
    labels = torch.from_numpy(data.test.labels)
    with torch.no_grad():
        denoised = trained.denoiser(images)
        found = [trained.classifier.through(number)(denoised).argmax(dim=1) for number in range(3)]
    assert min(float((each == labels).float().mean()) for each in found) > 0.85
    assert len({each.numpy().tobytes() for each in found}) == 3, "three different classifiers"
