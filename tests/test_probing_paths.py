"""Attacks whose failure along their path is known: it is found, and nothing else of its kind."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import robench
from robench import api
from robench.audit.failure import failures
from robench.audit.finding import Finding, Unchecked
from robench.probing import probe
from robench.registry import plugins as entry_points
from robench.registry.plugins import Plugin
from robench.runner import tracing
from robench.runner.checkpoints import Checkpoints
from robench.runner.events import Listener
from robench.runner.tracing import traced
from tests.runner import masks

PATHS = {"F6-unstable", "F6-incomplete", "F6-path"}
CALM = {"bim": {"steps": 30, "step_size": 0.002}}


class Trembling(masks.Halves):
    """Half of the score trembles with the brightness, so fast that no step can follow."""

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        left = images.flatten(0, 1).split(masks.SIDE // 2, dim=2)[0].mean(dim=(1, 2))
        return logits * (1 + 0.5 * torch.sin(20_000 * left))[:, None]


def trembling(*, num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    network = Trembling()
    network.register_buffer("nothing", torch.zeros(1))
    return network


class Drawing(masks.Halves):
    """The score is drawn anew, around itself, in every pass."""

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        return logits * (0.2 + 1.6 * torch.rand(len(images), 1, device=images.device))


def drawing(*, num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    network = Drawing()
    network.register_buffer("nothing", torch.zeros(1))
    return network


drawing.stochastic = True  # type: ignore[attr-defined]


class Forgets(robench.Attack):
    """Looks at two candidates in one pass, of which one wins, and returns the image."""

    name, norm, budget, access = "forgets", "linf", "fixed", "gradient"

    def perturb(
        self, victim: Any, images: Tensor, labels: Tensor, *, epsilon: float, random: Any
    ) -> Tensor:
        stepped = (images + epsilon * victim.gradient(images).sign()).clamp(0, 1)
        victim.logits(torch.cat([stepped, images]))
        return images


def plugins() -> list[Plugin]:
    things = {("model", "trembling"), ("model", "drawing"), ("attack", "forgets")}
    return [*masks.plugins(), *(
        Plugin(kind, name, "paths", "1", EntryPoint(
            name, f"{__name__}:{'Forgets' if kind == 'attack' else name}", f"robench.{kind}s"))
        for kind, name in sorted(things)
    )]


Said = list[Finding | Unchecked]


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """What the images of one cell, attacked alone, show."""
    monkeypatch.setattr(entry_points, "find", plugins)

    def run(attack: Any, *, model: str = "halves", epsilon: float = 0.03, **more: Any) -> Said:
        job = api.plan(matrix(attack, model=model, epsilon=epsilon, **more), store=tmp_path)
        made = job.execute(device="cpu")
        (cell,) = job.prepared.plan.cells
        frame = made.outcomes(cell.key)
        assert frame["success"].mean() < 0.5
        checkpoints = Checkpoints(job.store, job.prepared.datasets, job.registry, Listener(),
                                  torch.device("cpu"))
        return list(failures(traced(cell, frame, checkpoints, named="it", key="asked",
                                    batch_size=64)))

    return run


def matrix(attack: Any, *, model: str, epsilon: float, **more: Any) -> dict[str, Any]:
    return {"name": "paths", "datasets": ["shades"], "models": [model], "recipes": ["none"],
            "attacks": [attack], "epsilons": [epsilon], "samples": 6, **more}


def found(said: Said) -> dict[str, str]:
    assert all(one.rows == ("asked",) for one in said if isinstance(one, Finding))
    return {one.check: one.severity for one in said if isinstance(one, Finding)}


def left(said: Said) -> set[str]:
    return {one.check for one in said if isinstance(one, Unchecked)}


@pytest.mark.parametrize("attack", [CALM, {"pgd": {"steps": 40}}, {"apgd": {"steps": 40}}])
def test_an_attack_at_its_end(watched: Callable[..., Said], attack: Any) -> None:
    assert watched(attack) == []


def test_a_loss_that_trembles(watched: Callable[..., Said]) -> None:
    said = watched(CALM, model="trembling", epsilon=0.01)
    assert (found(said), left(said)) == ({"F6-unstable": "warning"}, set())


def test_ten_tiny_steps(watched: Callable[..., Said]) -> None:
    said = watched({"bim": {"steps": 10, "step_size": 0.0005}})
    assert (found(said), left(said)) == ({"F6-incomplete": "warning"}, set())
    (finding,) = said
    assert isinstance(finding, Finding)
    assert "50% (mean; 50% to 50%)" in finding.message
    assert "for 6 of 6 images" in finding.message


def test_a_success_that_is_thrown_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_points, "find", plugins)
    run = robench.run(matrix("forgets", model="halves", epsilon=0.1), store=tmp_path)
    assert not run.leaderboard()["asr"].any()
    done = probe(run, cells=1)
    along = {one.check: one for one in done.findings if one.check in PATHS}
    assert set(along) == {"F6-path"}
    assert along["F6-path"].severity == "serious"
    assert along["F6-path"].rows == (run.record["cells"][0]["key"],)
    assert along["F6-path"].paper == run.id
    assert "for 6 of 6 images" in along["F6-path"].message
    assert not {one.check for one in done.unchecked} & {*PATHS, "F6-loss"}


def test_one_step_is_never_incomplete(watched: Callable[..., Said]) -> None:
    said = watched("fgsm")
    assert (found(said), left(said)) == ({}, {"F6-incomplete"})


def test_a_search_without_gradients(watched: Callable[..., Said]) -> None:
    said = watched({"square": {"queries": 30}})
    assert (found(said), left(said)) == ({}, {"F6-loss"})


def test_a_victim_that_draws_random_numbers(watched: Callable[..., Said]) -> None:
    said = watched({"pgd": {"steps": 6}}, model="drawing", draws=2)
    assert found(said)["F6-unstable"] == "note"
    assert set(found(said).values()) == {"note"}
    assert left(said) == {"F6-path"}


def test_the_first_images_that_stand_are_watched(
    watched: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "IMAGES", 3)
    shown: list[str] = []
    once = tracing._trace

    def spy(attack: Any, cell: Any, bench: Any, recorded: Any, victim: Any, row: int) -> Any:
        shown.append(str(bench.clean["image_id"][row]))
        return once(attack, cell, bench, recorded, victim, row)

    monkeypatch.setattr(tracing, "_trace", spy)
    assert watched(CALM) == []
    assert len(shown) == 3
    first = list(shown)
    assert watched(CALM) == []
    assert shown == first * 2
