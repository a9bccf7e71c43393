"""Networks whose gradient is zero or NaN: from the network to the row of a leaderboard."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import robench
from robench.errors import MaskingWarning, VictimError
from robench.registry import plugins as entry_points
from robench.registry.plugins import Plugin
from robench.reporting.formats import render
from tests.runner import masks

RANDOM_STEPS = {"pgd": {"steps": 3}, "apgd": {"steps": 6, "eot": 3},
                "autoattack-rand": {"steps": 6, "eot": 4}}


class Coarse(masks.Halves):
    """Its images are rounded, which has no gradient."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward((images * 20).round() / 20)


class Edged(masks.Halves):
    """Its logits are finite; their gradient is that of a root at 0."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + (0.0 * images.sum(dim=(1, 2, 3))).sqrt()[:, None]


def coarse(*, num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    return _with_device(Coarse())


def edged(*, num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    return _with_device(Edged())


def _with_device(network: nn.Module) -> nn.Module:
    network.register_buffer("nothing", torch.zeros(1))
    return network


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> None:
    added = [Plugin("model", name, "masks", "1",
                    EntryPoint(name, f"{__name__}:{name}", "robench.models"))
             for name in ("coarse", "edged")]
    monkeypatch.setattr(entry_points, "find", lambda: [*masks.plugins(), *added])


def matrix(*models: str, **changes: Any) -> dict[str, Any]:
    attacks: list[Any] = ["fgsm", *({name: each} for name, each in RANDOM_STEPS.items())]
    return {"name": "masking", "datasets": ["shades"], "models": list(models), "recipes": ["none"],
            "attacks": [*attacks, {"square": {"queries": 20}}], "epsilons": [0.02], **changes}


@pytest.mark.usefixtures("networks")
def test_a_zero_gradient_is_a_flag_of_the_row(store: Path) -> None:
    board = robench.run(matrix("coarse", "halves"), store=store).leaderboard()
    attacked = board[(board["attack"] != "worst-case")]
    for row in attacked.itertuples():
        dead = row.model == "coarse" and row.attack != "square"
        assert ("zero-gradient" in str(row.flags).split(",")) == dead, (row.model, row.attack)


@pytest.mark.usefixtures("networks")
def test_a_gradient_that_is_not_a_number_is_a_failed_cell_and_no_robustness(store: Path) -> None:
    run = robench.run(matrix("edged"), store=store)
    failed = {failure.label: failure.error for failure in run.failures()}
    assert len(failed) == 1 + len(RANDOM_STEPS)
    for error in failed.values():
        assert "the network gives NaN or infinite gradients for" in error
    assert set(run.leaderboard()["attack"]) == {"square", "worst-case"}


@pytest.mark.usefixtures("networks")
def test_what_an_ensemble_ran_is_told(store: Path) -> None:
    run = robench.run(matrix("halves", attacks=[
        {"autoattack": {"steps": 3, "queries": 10}}, {"autoattack-rand": {"steps": 3, "eot": 2}},
    ]), store=store)
    told = dict(run.table().facts["members"])
    assert told == {"autoattack": ["apgd-ce, apgd-margin, fab-t, square"],
                    "autoattack-rand": ["apgd-ce, apgd-margin"]}
    pages = render(run.table(), "markdown")
    assert "autoattack ran: apgd-ce, apgd-margin, fab-t, square" in pages


def some() -> tuple[Tensor, Tensor]:
    test = masks.shades().splits["test"]
    images = torch.from_numpy(test.images[:]).permute(0, 3, 1, 2).float() / 255
    return images, torch.from_numpy(test.labels[:])


def test_from_python_it_is_a_warning() -> None:
    with pytest.warns(MaskingWarning, match="gradient is zero for every image.*masked"):
        (result,) = robench.attack("pgd")(Coarse(), *some(), epsilons=[0.02])
    assert bool(result.gradient_dead.all())


@pytest.mark.parametrize("name", ["fgsm", "cw", "deepfool", "jsma", "apgd"])
def test_from_python_nan_is_an_error_that_names_the_gradient(name: str) -> None:
    with pytest.raises(VictimError, match="NaN or infinite gradients for"):
        robench.attack(name)(Edged(), *some(), epsilons=[2.0 if name == "jsma" else 0.02])


def test_an_ensembles_result_names_its_members() -> None:
    attack = robench.attack("autoattack", steps=2, queries=5)
    (result,) = attack(masks.Halves(), *some(), epsilons=[0.02])
    assert result.members == ("apgd-ce", "apgd-margin", "fab-t", "square")
    (alone,) = robench.attack("fgsm")(masks.Halves(), *some(), epsilons=[0.02])
    assert alone.members == ()


def test_members_that_had_nothing_to_do_or_to_spend_are_not_named() -> None:
    attack = robench.attack("autoattack", steps=2, queries=5)
    held, broken = attack(masks.Halves(), *some(), epsilons=[0.02, 1.0])
    assert len(held.members) == 4
    assert bool(broken.success.all())
    assert broken.members == ("apgd-ce",)
    again = attack(masks.Halves(), *some(), epsilons=[1.0, 1.0])
    assert again[1].members == ("apgd-ce",)
    poor = robench.attack("autoattack", steps=2, queries=5, budget=5)
    (result,) = poor(masks.Halves(), *some(), epsilons=[0.02])
    assert result.members[0] == "apgd-ce"
    assert len(result.members) < 4


@pytest.mark.usefixtures("networks")
def test_a_way_that_ended_early_is_not_told_beside_the_whole(store: Path) -> None:
    run = robench.run(matrix("halves", attacks=[{"autoattack": {"steps": 3, "queries": 10}}],
                             epsilons=[0.02, 1.0]), store=store)
    assert run.table().facts["members"] == {
        "autoattack": ["apgd-ce, apgd-margin, fab-t, square"]}
