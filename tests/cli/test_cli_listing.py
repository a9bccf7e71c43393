"""What `robench list` and `robench show` print."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from robench.registry import KINDS, Registry
from robench.resources import matrices_folder

Robench = Callable[..., Any]
THINGS = {f"{kind}s": kind for kind in KINDS}
REGISTRY = Registry.discover()


@pytest.mark.parametrize("kind", [*THINGS, "matrices"])
def test_a_list_as_a_table(robench: Robench, kind: str, fine, widest) -> None:
    told = fine(robench("list", kind))
    names = [line.split()[0] for line in told.splitlines() if not line.startswith(" ")]
    rows = json.loads(fine(robench("list", kind, "--format", "json")))
    assert names[0] == "name"
    assert names[1:] == [row["name"] for row in rows]
    assert widest(told) <= 100


@pytest.mark.parametrize(("kind", "one"), THINGS.items())
def test_a_list_as_json(robench: Robench, kind: str, one: Any, fine) -> None:
    rows = json.loads(fine(robench("list", kind, "-f", "json")))
    assert [row["name"] for row in rows] == REGISTRY.names(one)
    for row in rows:
        assert row["kind"] == one
        assert row["error"] is None
        assert row["summary"]
        assert row["params"] == dict(REGISTRY.get(one, row["name"]).card.params)


def test_the_matrices_that_are_shipped(robench: Robench, fine) -> None:
    rows = json.loads(fine(robench("list", "matrices", "-f", "json")))
    assert [row["name"] for row in rows] == sorted(p.stem for p in matrices_folder().glob("*.yaml"))
    assert all(row["summary"] for row in rows)


@pytest.mark.parametrize("kind", [
    pytest.param(kind, marks=[pytest.mark.slow] if kind == "model" else []) for kind in KINDS
])
def test_every_card_can_be_shown(robench: Robench, kind: Any, fine, widest) -> None:
    for name in REGISTRY.names(kind):
        told, card = fine(robench("show", kind, name)), REGISTRY.get(kind, name).card
        flat = " ".join(told.split())
        assert told.startswith(name)
        for text in (card.summary, card.factory, *card.notes):
            assert " ".join(text.split()) in flat
        for setting, default in card.params.items():
            shown = default if isinstance(default, str) else json.dumps(default)
            assert f"{setting}: {shown}" in flat
        assert widest(told) <= 100


def test_one_of_a_catalogue_can_be_shown(robench: Robench, fine) -> None:
    told = fine(robench("show", "model", "timm/resnet18"))
    assert "timm/resnet18" in told
    assert "and others, which are passed on" in told


def test_a_model_is_shown_with_its_size_its_cost_and_its_layers(
    robench: Robench, fine, widest
) -> None:
    told = fine(robench("show", "model", "resnet18", "--classes", "4", "--image-size", "64",
                        "--channels", "1", "--depth", "2"))
    # torchvision's 11,689,512 for 1000 classes and colours, less 996 rows of the head and two
    # thirds of the first convolution
    parameters = 11_689_512 - 996 * 513 - 2 * 64 * 49
    assert "network for 4 classes, 1×64×64" in told
    assert f"parameters: {parameters:,} ({parameters / 1e6:.2f} M)" in told
    rows = {line.split()[0]: line.split()[1:] for line in told.splitlines() if line.strip()}
    assert rows["layer4"] == ["Sequential", "512×2×2", "8,393,728", "67.11"]
    assert rows["layer4.1"] == ["BasicBlock", "512×2×2", "4,720,640", "37.75"]
    assert rows["maxpool"] == ["MaxPool2d", "64×16×16", "–", "–"]
    assert rows["fc"] == ["Linear", "4", "2,052", "0.00"]
    assert widest(told) <= 100


def test_a_model_of_a_catalogue_is_shown_with_its_network(robench: Robench, fine) -> None:
    told = fine(robench("show", "model", "timm/lcnet_035", "--image-size", "32"))
    assert "network for 2 classes, 3×32×32" in told
    assert "conv_stem" in told
