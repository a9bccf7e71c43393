"""A network that tells attacked images from clean ones, and its figures."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

import robench
from robench.data import Dataset
from robench.errors import UserError
from robench.training.batches import to_pixels
from robench.training.detector import Detection, train_detector
from robench.training.standard import standard
from robench.training.tvl import tvl

from .stand_ins import Recorder, same_bits, small_network

CPU = torch.device("cpu")


def data(train: int = 400) -> Dataset:
    return robench.dataset("digits", limit={"train": train, "validation": 80, "test": 200})


@pytest.fixture(scope="module")
def classifier() -> nn.Module:
    network = small_network(outputs=10, dropout=0.1)
    return standard(network, data(), device="cpu", seed=0, epochs=4, learning_rate=0.01)


def attacks() -> dict[str, Any]:
    return {"fgsm": robench.attack("fgsm"), "noise": robench.attack("noise")}


def detect(classifier: nn.Module, dataset: Dataset | None = None, **changes: Any) -> Detection:
    settings: dict[str, Any] = {
        "attacks": attacks(), "epsilon": 0.2, "device": "cpu", "seed": 0, "epochs": 4,
        "learning_rate": 0.01, **changes,
    }  # fmt: skip
    return train_detector(small_network(), classifier, dataset or data(), **settings)


def test_it_finds_attacked_images_it_has_not_seen(classifier: nn.Module) -> None:
    before, recorder = copy.deepcopy(classifier), Recorder()
    found = detect(classifier, monitor=recorder)
    assert same_bits(classifier, before)
    assert found.clean == 200
    assert 0 < found.attacked < 200, "wrong images are not attacked"
    assert found.auroc > 0.9
    assert found.tpr > 0.5
    assert set(found.auroc_of) == {"fgsm", "noise"}
    assert recorder.reports[-1].validation_accuracy > 0.8

    (moved,) = robench.attack("fgsm")(
        classifier, to_pixels(data().test.images[:], CPU), torch.from_numpy(data().test.labels),
        epsilons=[0.2],
    )
    pixels = moved.adversarial.mul(255).round().div(255)
    rows = np.arange(0, 200, 2)
    changed = moved.distance.numpy()[rows] > 0
    with torch.no_grad():
        clean, attacked = (
            (logits[:, 1] - logits[:, 0]).numpy()
            for logits in (found.network(to_pixels(data().test.images[:], CPU)),
                           found.network(pixels[rows][changed]))
        )
    expected = roc_auc_score(
        np.r_[np.zeros(200), np.ones(len(attacked))], np.concatenate([clean, attacked])
    )
    assert found.auroc_of["fgsm"] == pytest.approx(expected, abs=1e-6)


def test_the_true_positive_rate_keeps_to_five_percent_false_ones(classifier: nn.Module) -> None:
    """Counted at every threshold there is, one attack alone."""
    found = detect(classifier, attacks={"fgsm": robench.attack("fgsm")}, epsilon=0.1)
    (moved,) = robench.attack("fgsm")(
        classifier, to_pixels(data().test.images[:], CPU), torch.from_numpy(data().test.labels),
        epsilons=[0.1],
    )
    pixels = moved.adversarial[moved.distance > 0].mul(255).round().div(255)
    with torch.no_grad():
        clean, attacked = (
            (logits[:, 1] - logits[:, 0]).numpy()
            for logits in (found.network(to_pixels(data().test.images[:], CPU)),
                           found.network(pixels))
        )
    best = max(
        ((attacked >= threshold).mean() for threshold in [*clean, *attacked]
         if (clean >= threshold).mean() <= 0.05),
        default=0.0,
    )
    assert found.tpr == pytest.approx(best, abs=1e-9)
    assert found.attacked == len(pixels)


def test_a_network_that_knows_nothing_is_at_chance(classifier: nn.Module) -> None:
    def untrained(network: nn.Module, *_: object, **__: object) -> nn.Module:
        return network.eval()

    found = detect(classifier, recipe=untrained, attacks={"noise": robench.attack("noise")},
                   epsilon=0.02)
    assert found.auroc == pytest.approx(0.5, abs=0.12)
    assert found.tpr < 0.25


def test_the_same_seed_gives_the_same_detector(classifier: nn.Module) -> None:
    one, other = (detect(classifier, data(60), epochs=1) for _ in range(2))
    assert same_bits(one.network, other.network)
    assert (one.auroc, one.tpr) == (other.auroc, other.tpr)


def test_shrinkage_networks_with_a_detection_head_train_by_tvl(classifier: nn.Module) -> None:
    network = robench.model("drsn", num_classes=2, in_channels=1, image_size=8, head="detection",
                            width=8, units=1, seed=0)
    found = train_detector(
        network, classifier, data(120), attacks=attacks(), epsilon=0.2, device="cpu", seed=0,
        recipe=tvl, epochs=3, learning_rate=0.01,
    )
    assert found.network is network
    assert found.auroc > 0.6


@pytest.mark.parametrize(("settings", "told"), [
    ({"attacks": {}}, "parameter 'attacks'"),
    ({"epsilon": 0.0}, "parameter 'epsilon'"),
    ({"epsilon": 1e-4}, "the attacks moved no image of the train split"),
    ({"batch_size": 0}, "parameter 'batch_size'"),
    ({"dataset": "no test"}, "has no test images"),
])  # fmt: skip
def test_unfit_settings(classifier: nn.Module, settings: dict[str, Any], told: str) -> None:
    whole = data(40)
    if settings.pop("dataset", None):
        whole = Dataset("digits", class_names=whole.class_names, train=whole.train)
    with pytest.raises(UserError) as caught:
        detect(classifier, whole, **settings)
    assert told in str(caught.value)
