"""Networks that cannot be victims: told before anything is computed or kept."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from robench.models.build import build
from robench.models.small_cnn import small_cnn

Written = Callable[..., Path]


def test_a_checkpoint_of_another_shape(refused_twice, written: Written, tmp_path: Path) -> None:
    network = small_cnn(num_classes=10, in_channels=1, image_size=(8, 8), width=4)
    torch.save(network.state_dict(), tmp_path / "w.pt")
    said = refused_twice("run", "-m", written(models=[{"small-cnn": {"checkpoint": "w.pt"}}]))
    assert "models[0]" in said
    assert "another shape, got [4, 1, 3, 3]" in said
    assert "expected [32, 1, 3, 3]" in said


def test_a_checkpoint_that_is_none(refused_twice, written: Written, tmp_path: Path) -> None:
    for content in (b"", b"words", b"\x80\x02}"):
        (tmp_path / "w.pt").write_bytes(content)
        matrix = written(models=[{"small-cnn": {"checkpoint": "w.pt"}}])
        assert "w.pt" in refused_twice("run", "-m", matrix)


def test_a_network_that_gives_nan(refused_twice, written: Written, tmp_path: Path) -> None:
    network = build(small_cnn, num_classes=10, in_channels=1, image_size=(8, 8), settings={})
    weights = {name: tensor * float("nan") if "weight" in name else tensor
               for name, tensor in network.state_dict().items()}
    torch.save(weights, tmp_path / "w.pt")
    said = refused_twice("run", "-m", written(models=[{"small-cnn": {"checkpoint": "w.pt"}}]))
    assert "models[0]" in said
    assert "NaN or infinite logits" in said


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 7))",
         "wrong number of logits, got 7"),
        ("torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(63, 10))", "fails on images"),
        ("torch.nn.Identity()", "not a table of logits, got [2, 1, 8, 8]"),
        ("'a network'", "no torch.nn.Module"),
    ],
)
def test_a_network_of_a_third_party(
    refused_twice, written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str,
    told: str,
) -> None:
    site = tmp_path / "site"
    (site / "wrong-1.0.dist-info").mkdir(parents=True)
    (site / "wrong-1.0.dist-info" / "METADATA").write_text("Name: wrong\nVersion: 1.0\n")
    (site / "wrong-1.0.dist-info" / "entry_points.txt").write_text(
        "[robench.models]\nwrong = wrong_network:make\n"
    )
    (site / "wrong_network.py").write_text(
        "import torch\n\n\ndef make(*, num_classes, in_channels, image_size):\n"
        f"    return {body}\n"
    )
    monkeypatch.delitem(sys.modules, "wrong_network", raising=False)
    monkeypatch.syspath_prepend(site)
    said = refused_twice("run", "-m", written(models=["wrong"]))
    sys.modules.pop("wrong_network", None)
    assert "m.yaml:8 models[0] wrong" in said
    assert told in said
