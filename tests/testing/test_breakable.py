"""The networks that every attack has to break are what they say they are (F8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robench.attacks.balls import NORMS, Norm
from robench.attacks.base import Attack
from robench.attacks.fgsm import FGSM
from robench.attacks.jsma import JSMA
from robench.attacks.noise import KINDS as NOISES
from robench.attacks.pgd import PGD
from robench.testing.attack_case import Case
from robench.testing.attack_finding import FINDS, finds
from robench.testing.breakable import KINDS, Kind, breakable
from robench.testing.control import chance, control
from robench.testing.core import attempt
from robench.testing.networks import Task, ordinary

MADE = [(norm, kind) for norm in NORMS for kind in KINDS
        if kind == "any" or ((kind == "block") == (norm == "l0") and norm != "l1")]
ATTACKS: dict[Norm, Callable[[], Attack]] = {
    "linf": FGSM, "l2": lambda: FGSM(norm="l2"), "l1": lambda: PGD(norm="l1"), "l0": JSMA,
}


def moves(task: Task) -> tuple[Tensor, Tensor]:
    """What a pixel adds to the wrong score on its way to the edge of the box, and that way's
    length; both 4×H×W."""
    weight = task.network.weight.detach().reshape(task.images.shape[2:]).double()
    side = torch.where(task.labels == 1, -1.0, 1.0)[:, None, None]
    pixels = task.images[:, 0].double()
    way = torch.where(weight * side > 0, 1.0 - pixels, pixels)
    return weight.abs() * way, way


def needed(task: Task, norm: Norm) -> Tensor:
    """The least distance at which each image breaks, from the weights alone, length 4."""
    weight = task.network.weight.detach().double()
    score = ((task.images[:, 0].double().flatten(1) - 0.5) @ weight).abs()
    if norm == "linf":  # no pixel meets the edge of the box on the way
        return score / weight.abs().sum()
    if norm == "l2":
        return score / weight.norm()
    gain, way = (each.flatten(1) for each in moves(task))
    order = (gain / way if norm == "l1" else gain).argsort(dim=1, descending=True)
    gain, way = gain.gather(1, order), way.gather(1, order)
    before = gain.cumsum(dim=1) - gain
    if norm == "l0":
        return (before < score[:, None]).sum(dim=1)
    share = ((score[:, None] - before) / gain).clamp(0.0, 1.0)
    return (share * way).sum(dim=1)


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize(("norm", "kind"), MADE)
def test_each_image_breaks_at_half_of_epsilon(norm: Norm, kind: Kind, classes: int) -> None:
    task = breakable(norm, classes=classes, kind=kind)
    with torch.no_grad():
        logits = task.network(task.images)
    assert torch.equal(logits.argmax(dim=1), task.labels)
    assert logits.shape == (4, classes)
    assert 0.0 <= float(task.images.min()) <= float(task.images.max()) <= 1.0
    least = needed(task, norm)
    assert float(least.min()) > 0
    assert float(least.max()) <= 0.5 * task.epsilon * (1 + 1e-5)


@pytest.mark.parametrize(("norm", "kind"), [(norm, kind) for norm, kind in MADE
                                            if norm in ("linf", "l2")])
def test_no_pixel_meets_the_edge_of_the_box_on_the_way(norm: Norm, kind: Kind) -> None:
    task = breakable(norm, classes=2, kind=kind)
    step = float(needed(task, norm).max()) / (1.0 if norm == "linf" else 16.0)
    assert step <= float(moves(task)[1].min())


def test_any_square_of_half_the_pixels_is_enough_where_squares_are_asked_for() -> None:
    task = breakable("l0", classes=2, kind="block")
    side = int((task.epsilon / 2) ** 0.5)
    squares = torch.nn.functional.unfold(moves(task)[0][:, None], side).sum(dim=1)
    weight = task.network.weight.detach().double()
    score = ((task.images[:, 0].double().flatten(1) - 0.5) @ weight).abs()
    assert bool((squares > score[:, None]).all())


def test_one_direction_breaks_all_where_it_is_asked_for() -> None:
    for norm in ("linf", "l2"):
        task = breakable(norm, classes=2, kind="common")
        assert bool((task.labels == 1).all())
        assert task.lessons is not None
        with torch.no_grad():
            assert bool((task.network(task.lessons).argmax(dim=1) == 1).all())
        distances = (task.lessons[:, None] - task.images[None]).flatten(2).norm(dim=2)
        assert float(distances.min()) > 1.0  # other images


@pytest.mark.parametrize("draws", [50, pytest.param(5000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("norm", "kind"), MADE)
def test_chance_does_not_break_it_or_the_test_would_be_void(
    norm: Norm, kind: Kind, draws: int
) -> None:
    task = breakable(norm, classes=2, kind=kind)
    found = [chance(task, norm, noise, draws=draws, seed=1) for noise in NOISES]
    assert found == [0] * len(NOISES)


class Near(nn.Module):
    """A network next to the boundary for its images of class 1."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return logits - torch.tensor([0.0, 3.99])


@pytest.mark.parametrize(("norm", "kind"), MADE)
def test_chance_breaks_what_is_next_to_the_boundary(norm: Norm, kind: Kind) -> None:
    task = breakable(norm, classes=2, kind=kind)
    near = replace(task, network=Near(task.network))
    found = [chance(near, norm, noise, draws=30) for noise in NOISES]
    assert found == [int((task.labels == 1).sum())] * len(NOISES)


@pytest.mark.parametrize("norm", NORMS)
def test_a_check_on_a_network_that_chance_breaks_says_that_it_is_void(
    monkeypatch: pytest.MonkeyPatch, norm: Norm
) -> None:
    def near(norm: Norm, **named: Any) -> Task:
        task = breakable(norm, **named)
        return replace(task, network=Near(task.network))

    monkeypatch.setattr("robench.testing.control.breakable", near)
    control.cache_clear()
    try:
        check = attempt(FINDS, lambda: finds(Case(ATTACKS[norm], {})))
    finally:
        control.cache_clear()
    assert (check.passed, check.message) == (
        False, "got a network on which uniform noise breaks 2 of 4 images in 200 draws, "
               "expected none: this check is void"
    )


def test_further_classes_change_no_decision() -> None:
    for norm, kind in MADE:
        two, ten = (breakable(norm, classes=classes, kind=kind) for classes in (2, 10))
        images = torch.rand(50, *two.images.shape[1:], generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            assert torch.equal(two.network(images).argmax(1), ten.network(images).argmax(1))


@pytest.mark.parametrize(("norm", "kind"), [("l1", "smooth"), ("linf", "block"), ("l0", "common")])
def test_a_kind_that_a_norm_has_not_is_refused(norm: Norm, kind: Kind) -> None:
    with pytest.raises(ValueError, match=f"in {norm} for an attack confined to {kind}"):
        breakable(norm, classes=2, kind=kind)
    with pytest.raises(ValueError, match=kind):
        control(norm, kind=kind)


@pytest.mark.parametrize("count", [8, 40])
@pytest.mark.parametrize("outputs", [1, 2, 10, 1000])
def test_the_ordinary_task_knows_what_its_network_gets_right(outputs: int, count: int) -> None:
    task = ordinary("linf", outputs=outputs, count=count)
    with torch.no_grad():
        logits = task.network(task.images)
    predicted = (logits[:, 0] > 0).long() if outputs == 1 else logits.argmax(dim=1)
    assert torch.equal(torch.eq(predicted, task.labels), task.right)
    assert len(task.images) == count
    assert int(task.right.sum()) == count * 6 // 8
    assert int(task.labels.max()) < max(outputs, 2)
    assert 0.0 <= float(task.images.min()) <= float(task.images.max()) <= 1.0
