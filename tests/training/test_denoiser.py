"""The recipe `denoiser`: what each phase moves, what is kept, and that it denoises."""

from __future__ import annotations

import copy
import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional

from robench.models.autoencoder import DenoisedClassifier, DenoisingAutoencoder
from robench.models.block_switching import aebs
from robench.training.batches import to_pixels
from robench.training.denoiser import EPSILONS, Corruption, denoiser
from robench.training.state import TrainingState, tensors_of

from .stand_ins import (
    InterruptedByTestError,
    Recorder,
    digits_data,
    same_bits,
    small_network,
    striped_data,
)

CARDS = Path(__file__).parents[2] / "registry" / "recipes"
CPU = torch.device("cpu")
ON_CPU: dict[str, Any] = {"device": "cpu", "seed": 0}
SHORT: dict[str, Any] = {
    "classifier_epochs": 2, "denoiser_epochs": 2, "fine_tune_epochs": 2, "batch_size": 8,
    "epsilons": (0.05, 0.1), **ON_CPU,
}  # fmt: skip


def network(*, outputs: int = 2, width: int = 4, dropout: float = 0.3) -> DenoisedClassifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        front = DenoisingAutoencoder(1, width=width)
    return DenoisedClassifier(front, small_network(outputs=outputs, dropout=dropout))


@dataclass
class States(Recorder):
    """Remembers the network after every epoch."""

    after: list[Mapping[str, Tensor]] = field(default_factory=list)

    def save(self, state: TrainingState) -> None:
        super().save(state)
        self.after.append(state.network)


def moved(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("corruption", ["fgsm", "gaussian"])
def test_each_phase_moves_its_part_alone(corruption: str) -> None:
    recorder, trained = States(), network()
    before = tensors_of(trained)
    denoiser(trained, striped_data(), monitor=recorder, corruption=corruption, **SHORT)
    parts = {part: {name for name in before if name.startswith(f"{part}.")}
             for part in ("denoiser", "classifier")}  # fmt: skip
    states = [before, *recorder.after]
    changes = [moved(*pair) for pair in pairwise(states)]
    expected = ["classifier"] * 2 + ["denoiser"] * 2 + ["classifier"] * 2
    assert changes == [parts[part] for part in expected], "weights and BatchNorm statistics"


@pytest.mark.parametrize(
    ("corruption", "stop"),
    [("fgsm", {"stop_after_epoch": epoch}) for epoch in (2, 4)]
    + [("fgsm", {"stop_at_batch": (epoch, 2)}) for epoch in (2, 4, 6)]
    + [("gaussian", {"stop_at_batch": (4, 2)})],
)
def test_taken_up_again_it_ends_in_the_same_bits(corruption: str, stop: dict[str, Any]) -> None:
    data, recipe = striped_data(41), partial(denoiser, corruption=corruption, **SHORT)
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


def test_the_last_phase_alone_is_selected_from_and_rates_are_its_own() -> None:
    recorder = Recorder()
    denoiser(network(), striped_data(), monitor=recorder, learning_rate=0.01, schedule="constant",
             denoiser_learning_rate=0.02, fine_tune_learning_rate=0.003, **SHORT)  # fmt: skip
    assert [report.learning_rate for report in recorder.reports] == [
        0.01, 0.01, 0.02, 0.02, 0.003, 0.003]  # fmt: skip
    assert [report.selected for report in recorder.reports[:5]] == [False] * 4 + [True]
    assert [report.robust_accuracy is None for report in recorder.reports] == [True] * 2 + [
        False] * 4  # fmt: skip


def test_without_fine_tuning_the_denoiser_is_the_last_phase() -> None:
    recorder, trained = States(), network()
    denoiser(trained, striped_data(), monitor=recorder, **{**SHORT, "fine_tune_epochs": 0})
    assert [report.selected for report in recorder.reports[:3]] == [False, False, True]
    classifier = {name: tensor for name, tensor in recorder.after[1].items()
                  if name.startswith("classifier.")}  # fmt: skip
    kept = tensors_of(trained)
    assert all(torch.equal(kept[name], tensor) for name, tensor in classifier.items())


def test_a_classifier_that_is_trained_already_is_taken_as_it_is() -> None:
    trained = network()
    before = copy.deepcopy(trained)
    settings = {**SHORT, "classifier_epochs": 0, "fine_tune_epochs": 0, "denoiser_epochs": 1}
    assert denoiser(trained, striped_data(), **settings) is trained
    assert same_bits(trained.classifier, before.classifier)
    assert not same_bits(trained.denoiser, before.denoiser)
    assert not any(module.training for module in trained.modules())


def test_a_network_of_switched_channels_fits_too() -> None:
    torch.manual_seed(0)
    switched = aebs(num_classes=2, in_channels=1, image_size=(8, 8), base="small-cnn", channels=2,
                    width=4)  # fmt: skip
    before = tensors_of(switched)
    trained = denoiser(switched, striped_data(24), **{**SHORT, "batch_size": 4})
    assert {name.split(".")[0] for name in moved(before, tensors_of(trained))} == {
        "denoiser", "classifier"}  # fmt: skip


def test_it_removes_the_perturbation() -> None:
    data = digits_data()
    trained = denoiser(
        network(outputs=10, width=8, dropout=0.1), data, classifier_epochs=4, denoiser_epochs=5,
        fine_tune_epochs=1, learning_rate=0.01, denoiser_learning_rate=0.01,
        epsilons=(0.05, 0.1, 0.15), **ON_CPU,
    )  # fmt: skip
    assert isinstance(trained, DenoisedClassifier)
    images, labels = to_pixels(data.test.images, CPU), torch.from_numpy(data.test.labels)
    corrupted = Corruption(kind="fgsm", epsilons=(0.1,)).images(
        trained.classifier, images, labels, epsilon=0.1, generator=torch.Generator()
    )
    with torch.no_grad():
        denoised = trained.denoiser(corrupted)
        found = [float((classify(pixels).argmax(dim=1) == labels).float().mean())
                 for classify, pixels in ((trained, images), (trained, corrupted),
                                          (trained.classifier, corrupted))]  # fmt: skip
    error = float(functional.mse_loss(denoised, images))
    assert error < 0.8 * float(functional.mse_loss(corrupted, images))
    clean, behind, bare = found
    assert clean > 0.9
    assert behind > bare + 0.15


class Linear(nn.Module):
    """Two classes whose gradients are known: ±1 in every pixel, by the label."""

    def forward(self, images: Tensor) -> Tensor:
        total = images.flatten(1).sum(dim=1)
        return torch.stack([total, -total], dim=1)


def test_fgsm_images_are_one_step_cut_to_the_box() -> None:
    images, labels = torch.rand(6, 1, 4, 4), torch.tensor([0, 1, 0, 1, 0, 1])
    away = torch.where(labels == 0, -1.0, 1.0)[:, None, None, None]
    found = Corruption(kind="fgsm", epsilons=EPSILONS).images(
        Linear(), images * 0.1, labels, epsilon=0.3, generator=torch.Generator()
    )
    assert torch.allclose(found, (images * 0.1 + 0.3 * away).clamp(0, 1), atol=1e-6)


def test_gaussian_images_are_noisy_and_in_the_box() -> None:
    images, labels = torch.full((4, 1, 32, 32), 0.5), torch.zeros(4, dtype=torch.int64)
    found = [Corruption(kind="gaussian", epsilons=(0.1,)).images(
        Linear(), images, labels, epsilon=0.1, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)]  # fmt: skip
    assert float((found[0] - images).std()) == pytest.approx(0.1, rel=0.05)
    assert float(found[0].min()) >= 0
    assert float(found[0].max()) <= 1
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_all_sizes_are_drawn() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sizes = {Corruption(kind="fgsm", epsilons=EPSILONS).drawn() for _ in range(60)}
    assert sizes == set(EPSILONS)


@pytest.mark.parametrize(("file", "name"), [
    ("denoiser", "denoiser"), ("block_switching", "block-switching"),
])  # fmt: skip
def test_cards_state_the_signature_and_the_papers_perturbations(file: str, name: str) -> None:
    (card,) = yaml.safe_load((CARDS / f"{file}.yaml").read_text())
    assert card["name"] == name
    module, function = card["factory"].split(":")
    parameters = inspect.signature(getattr(importlib.import_module(module), function)).parameters
    assert [*parameters][:5] == ["network", "dataset", "device", "seed", "monitor"]
    stated = {name: parameters[name].default for name in [*parameters][5:]}
    assert card["params"] == {**stated, "epsilons": list(stated["epsilons"])}
    assert [value * 255 for value in card["params"]["epsilons"]] == pytest.approx(
        card["published"]["epsilons_255"]
    )
