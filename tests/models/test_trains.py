"""Every network learns from real images, at reduced size, within CPU minutes (slow).

Chest X-rays at 64 pixels, 1,000 of them in training; the measure is the balanced accuracy on 200
validation images, where one class alone gives a half.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import robench
from robench.data import Dataset, Split
from robench.data.npz import npz
from robench.registry import Registry
from robench.training.validation import balanced_accuracy

XRAYS = "chestxray_kermany_64.npz"
SIX_EPOCHS = {"epochs": 6, "batch_size": 32, "learning_rate": 5e-4}
SMALL_BACKBONE = {"backbone": "mobilenetv3_small_050", "width": 64}


@dataclass(frozen=True)
class Case:
    """A network, the recipe it is trained by, and what it must reach."""

    settings: dict[str, Any] = field(default_factory=dict)
    recipe: str = "standard"
    recipe_settings: dict[str, Any] = field(default_factory=lambda: SIX_EPOCHS)
    at_least: float = 0.8


CASES = {
    "small-cnn": Case(),
    "mlp": Case(),
    "resnet18": Case(),
    "resnet34": Case(),
    "cbam-resnet34": Case(),
    "bam-resnet34": Case(),
    "selfattn-resnet34": Case(),
    "kwta-resnet34": Case({"stem": "imagenet"}),
    "meddef": Case(),
    "meddef-wo-afd": Case(),
    "meddef-wo-afd-mfe": Case(),
    "meddef-wo-afd-mfe-msf": Case(),
    "drsn": Case(recipe="tvl"),
    "drsn-tvl": Case(SMALL_BACKBONE, recipe="tvl"),
    "drsn-without-tvl": Case(SMALL_BACKBONE, recipe="tvl"),
    "autoencoder-resnet34": Case({"width": 16}, "denoiser", {
        "classifier_epochs": 5, "denoiser_epochs": 4, "fine_tune_epochs": 2, "batch_size": 32,
        "learning_rate": 5e-4, "fine_tune_learning_rate": 2e-4,
    }),
    "aebs": Case({"base": "small-cnn", "channels": 2, "width": 8}, "block-switching", {
        "sub_model_epochs": 4, "denoiser_epochs": 3, "switching_epochs": 3, "batch_size": 32,
    }),
    "invgan-resnet34": Case({"width": 16, "latent": 64, "resolution": 32}, "invgan", {
        "gan_epochs": 20, "encoder_epochs": 15, "classifier_epochs": 5, "batch_size": 32,
        "gan_learning_rate": 1e-3, "encoder_learning_rate": 1e-3, "learning_rate": 5e-4,
    }, at_least=0.6),
}


def test_no_network_is_left_out() -> None:
    registered = {
        card.name for card in Registry.discover().own("model")
        if not card.is_provider and not card.alias_of
        and card.traits.get("task") != "segmentation"  # tests/segmentation trains that one
    }
    assert set(CASES) == registered


@pytest.fixture(scope="module")
def xrays() -> Dataset:
    file = Path(os.environ.get("ROBENCH_DATA", "")) / XRAYS
    if not os.environ.get("ROBENCH_DATA") or not file.is_file():
        pytest.skip(f"{XRAYS} is not in ROBENCH_DATA")
    return npz(path=file, limit={"train": 1000, "validation": 200, "test": 10})


def predicted(network: nn.Module, split: Split) -> np.ndarray:
    pixels = torch.from_numpy(np.asarray(split.images[:])).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        return np.concatenate([network(part).argmax(dim=1) for part in pixels.split(50)])


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", CASES)
def test_it_learns_from_x_rays(xrays: Dataset, name: str) -> None:
    case = CASES[name]
    network = robench.model(name, num_classes=2, in_channels=1, image_size=64, **case.settings)
    recipe = Registry.discover().get("recipe", case.recipe).load()
    trained = recipe(network, xrays, device="cpu", seed=0, **case.recipe_settings)
    split = xrays.splits["validation"]
    torch.manual_seed(0)  # of the one that draws
    right = predicted(trained.eval(), split) == split.labels
    assert balanced_accuracy(right, split.labels) >= case.at_least
