"""Settings of MedDef that are refused, by name, before anything is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.models import resnet18

import robench
from robench.errors import UserError
from robench.models.meddef import meddef

SHAPE: dict[str, Any] = {"num_classes": 2, "in_channels": 3, "image_size": (64, 64)}


@pytest.mark.parametrize(("settings", "told"), [
    ({"without": ["adf"]}, r"without: unknown block, got 'adf'\n.*afd, mfe, msf.*mean 'afd'\?"),
    ({"without": ["AFD"]}, r"without: unknown block, got 'AFD'\n.*did you mean 'afd'\?"),
    ({"without": ["afd", 3]}, r"without: unknown block, got 3\n.*any of afd, mfe, msf"),
    ({"without": ["self-atention"]}, r"got 'self-atention'\n.*any of afd, mfe, msf"),
    ({"without": ["fusion"]}, r"without: 'fusion' cannot be left out\n.*any of afd, mfe, msf"),
    ({"without": ["channel-attention"]}, r"'channel-attention' cannot be left out"),
    ({"without": "afd"}, r"without, got 'afd'\n.*a list with any of afd, mfe, msf"),
    ({"without": None}, r"without, got None\n.*a list"),
    ({"attention": "temporal"}, r"attention, got 'temporal'\n.*spatial or channel"),
    ({"dropout": 1.0}, r"dropout, got 1\.0\n.*\[0, 1\)"),
    ({"dropout": -0.1}, r"dropout, got -0\.1"),
    ({"dropout": float("nan")}, r"dropout, got nan"),
    ({"stem": "large"}, r"stem, got 'large'\n.*auto, imagenet or small"),
])
def test_unfit_settings(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told), torch.device("meta"):
        meddef(**SHAPE, **settings)


@pytest.mark.parametrize(("name", "settings", "told"), [
    ("meddef", {"withuot": ["afd"]}, r"has no setting 'withuot'\n.*did you mean 'without'\?"),
    ("meddef", {"without": "afd"}, r"'without', got 'afd'\n.*a list"),
    ("meddef-wo-afd", {"without": []}, r"'meddef-wo-afd' has no setting 'without'"),
    ("meddef-wo-adf", {}, r"unknown model 'meddef-wo-adf'\n.*did you mean 'meddef-wo-afd'\?"),
])
def test_unfit_cards(name: str, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        robench.model(name, num_classes=2, in_channels=1, image_size=28, **settings)


def test_a_missing_file_of_weights(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such checkpoint"):
        meddef(**SHAPE, pretrained=str(tmp_path / "resnet18.pt"))


def test_weights_of_another_shape(tmp_path: Path) -> None:
    path = tmp_path / "resnet18.pt"
    torch.save(resnet18(weights=None).state_dict(), path)
    told = (r"pretrained: 'conv1.weight' has another shape, got \[64, 3, 7, 7\]\n"
            r".*\[64, 3, 3, 3\]")
    with pytest.raises(UserError, match=told):
        meddef(**SHAPE, without=["afd", "mfe"], stem="small", pretrained=str(path))
