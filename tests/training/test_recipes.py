"""What the recipes teach, on scikit-learn's digits; and their cards."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from robench.training.batches import to_pixels
from robench.training.craft import Adversary
from robench.training.pgd_at import pgd_at
from robench.training.standard import standard

from .stand_ins import ArraySplit, Recorder, digits_data, small_network

CARDS = Path(__file__).parents[2] / "registry" / "recipes"
CPU = torch.device("cpu")
EPSILON = 0.15
ADVERSARY = Adversary(epsilon=EPSILON, step_size=0.03, steps=20, norm="linf", random_start=True)


def accuracies(network: nn.Module, split: ArraySplit) -> tuple[float, float]:
    images, labels = to_pixels(split.images, CPU), torch.from_numpy(split.labels)
    attacked = ADVERSARY.images(network, images, labels, torch.Generator().manual_seed(0))
    with torch.no_grad():
        clean, robust = (
            float((network(pixels).argmax(dim=1) == labels).double().mean())
            for pixels in (images, attacked)
        )
    return clean, robust


@pytest.fixture(scope="module")
def clean_network() -> tuple[nn.Module, Recorder]:
    recorder = Recorder()
    network = small_network(outputs=10, dropout=0.1)
    return standard(
        network, digits_data(), device="cpu", seed=0, epochs=8, learning_rate=0.01, monitor=recorder
    ), recorder


def test_standard_learns_digits(clean_network: tuple[nn.Module, Recorder]) -> None:
    network, recorder = clean_network
    clean, _ = accuracies(network, digits_data().test)
    assert clean > 0.93
    assert recorder.reports[-1].loss < 0.5 * recorder.reports[0].loss
    assert all(report.robust_accuracy is None for report in recorder.reports)


def test_pgd_at_is_more_robust(clean_network: tuple[nn.Module, Recorder]) -> None:
    recorder = Recorder()
    network = pgd_at(
        small_network(outputs=10, dropout=0.1), digits_data(), device="cpu", seed=0, epochs=6,
        learning_rate=0.01, epsilon=EPSILON, step_size=0.05, steps=4, validation_steps=5,
        monitor=recorder,
    )  # fmt: skip
    clean, robust = accuracies(network, digits_data().test)
    _, undefended = accuracies(clean_network[0], digits_data().test)
    assert clean > 0.8
    assert robust > undefended + 0.15
    best = max(recorder.reports, key=lambda report: report.robust_accuracy)
    kept = [report for report in recorder.reports if report.selected][-1]
    assert kept.robust_accuracy == best.robust_accuracy
    assert kept.robust_accuracy == pytest.approx(robust, abs=0.1)
    assert all(report.robust_accuracy <= report.validation_accuracy for report in recorder.reports)
    assert kept.criterion == "robust validation accuracy"


def cards() -> list[dict[str, object]]:
    return [
        card for path in sorted(CARDS.glob("*.yaml")) for card in yaml.safe_load(path.read_text())
    ]


@pytest.mark.parametrize("name", ["standard", "pgd-at"])
def test_cards_state_the_signature(name: str) -> None:
    (card,) = [card for card in cards() if card["name"] == name]
    module, function = card["factory"].split(":")
    parameters = inspect.signature(getattr(importlib.import_module(module), function)).parameters
    assert [*parameters][:5] == ["network", "dataset", "device", "seed", "monitor"]
    assert card["params"] == {name: parameters[name].default for name in [*parameters][5:]}
    assert all(
        parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in [*parameters][2:]
    )


def test_pgd_at_defaults_are_the_papers() -> None:
    (card,) = [card for card in cards() if card["name"] == "pgd-at"]
    published = card["published"]
    assert card["params"]["steps"] == published["steps"]
    assert card["params"]["epsilon"] * 255 == pytest.approx(published["epsilon_255"])
    assert card["params"]["step_size"] * 255 == pytest.approx(published["step_size_255"])
