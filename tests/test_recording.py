"""Recorded passes, with a stand-in on the CPU whose buffers are overwritten as CUDA graphs' are."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn

import robench
from robench import recording
from robench.precision import arithmetic
from robench.recording import Recordings
from robench.victim import Victim


class Buffers:
    """Records passes, and keeps count of replays; all outputs lie where the next ones will."""

    def __init__(self, *, off: float = 0.0) -> None:
        self.made = 0
        self.replays = 0
        self.off = off

    def __call__(self, compute, sample):
        self.made += 1
        with torch.enable_grad():
            output = compute(sample).detach().clone()
        slope = torch.empty_like(sample)
        buffers = self

        class Replayed(torch.autograd.Function):
            last = None

            @staticmethod
            def forward(ctx, images):
                buffers.replays += 1
                leaf = images.detach().clone().requires_grad_(True)
                with torch.enable_grad():
                    logits = compute(leaf)
                Replayed.last = logits, leaf
                output.copy_(logits.detach() + buffers.off)
                return output.detach()

            @staticmethod
            def backward(ctx, given):
                logits, leaf = Replayed.last  # of the last pass, whichever is asked for
                slope.copy_(torch.autograd.grad(logits, leaf, given, retain_graph=True)[0])
                return slope.detach()

        return Replayed.apply


@pytest.fixture
def buffers(monkeypatch: pytest.MonkeyPatch) -> Buffers:
    """Victims record every pass from their second on, however long it takes."""
    made = Buffers()
    monkeypatch.setattr(recording, "reading_waits", lambda _: True)
    monkeypatch.setattr(recording, "_PATIENCE", 1)
    monkeypatch.setattr(recording, "_WORTH", float("inf"))
    monkeypatch.setattr("robench.victim.Recordings", functools.partial(Recordings, record=made))
    return made


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
    ).eval().requires_grad_(False)


def images(rows: int = 40) -> torch.Tensor:
    return torch.rand(rows, 1, 12, 12, generator=torch.Generator().manual_seed(rows))


ATTACKS = [
    ("fgsm", {}), ("pgd", {"steps": 8, "restarts": 2}), ("apgd", {"steps": 12}),
    ("apgd-t", {"steps": 8}), ("deepfool", {}), ("jsma", {"max_steps": 6}), ("square", {
        "queries": 30}), ("fab", {"steps": 5}), ("cw", {"steps": 6, "binary_search_steps": 2}),
    ("spsa", {"steps": 2}), ("hop-skip-jump", {"steps": 2}),
]


@pytest.mark.parametrize(("name", "settings"), ATTACKS, ids=[name for name, _ in ATTACKS])
def test_attacks_find_the_same(name, settings, buffers, monkeypatch):
    model, pixels = network(), images()
    labels = model(pixels).argmax(dim=1)
    attack = robench.attack(name, **settings)
    epsilons = [1.0, 9.0] if attack.norm == "l0" else [0.05, 0.2]
    given = attack(model, pixels, labels, epsilons=epsilons)
    assert buffers.replays > 0
    replays = buffers.replays
    monkeypatch.setattr(recording, "reading_waits", lambda _: False)
    asked = attack(model, pixels, labels, epsilons=epsilons)
    assert buffers.replays == replays
    for one, other in zip(asked, given, strict=True):
        for column in ("adversarial", "success", "margin", "forwards", "backwards"):
            assert torch.equal(getattr(one, column), getattr(other, column)), column


def test_every_shape_and_arithmetic_is_recorded_once(buffers):
    model = network()
    passes = Recordings(model, record=buffers)
    for _ in range(4):
        for rows in (4, 8):
            passes(images(rows))
    assert buffers.made == 2
    for _ in range(3):
        with arithmetic(torch.device("cpu"), "bfloat16"):
            assert passes(images(4)).dtype == torch.bfloat16
    assert buffers.made == 3


def test_passes_are_recorded_once_there_were_enough(buffers, monkeypatch):
    monkeypatch.setattr(recording, "_PATIENCE", 5)
    passes = Recordings(network(), record=buffers)
    made = []
    for _ in range(7):
        passes(images(4))
        made.append(buffers.made)
    assert made == [0, 0, 0, 0, 0, 1, 1]


def test_a_cpu_records_nothing():
    buffers = Buffers()
    passes = Recordings(network(), record=buffers)
    for _ in range(2 * recording._PATIENCE):
        passes(images(2))
    assert buffers.made == 0


def test_other_bits_are_not_used(buffers):
    buffers.off = 1e-6
    model = network()
    passes = Recordings(model, record=buffers)
    for _ in range(4):
        assert torch.equal(passes(images(4)), model(images(4)))
    assert buffers.made == 1


def test_what_is_not_faster_is_not_used(buffers, monkeypatch):
    monkeypatch.setattr(recording, "_WORTH", 0.0)
    passes = Recordings(network(), record=buffers)
    passes(images(4)), passes(images(4))
    replays = buffers.replays
    passes(images(4))
    assert buffers.made == 1
    assert buffers.replays == replays


def test_what_cannot_be_recorded_is_computed(buffers):
    def refuse(compute, sample):
        raise torch.OutOfMemoryError("no room for the graph")

    model = network()
    passes = Recordings(model, record=refuse)
    for _ in range(3):
        assert torch.equal(passes(images(4)), model(images(4)))


def test_a_graph_that_is_held_over_other_passes_is_right(buffers):
    model = network()
    victim = Victim(model)
    victim.arrange(images())
    for _ in range(3):
        victim.gradient(images(32), torch.zeros(32).long(), lambda logits, _: logits[:, 0])
    assert buffers.made == 1
    one, other = (images(32 * times)[:32].requires_grad_(True) for times in (1, 2))
    held = victim(one)[:, 1].sum()
    victim(other)
    (slope,) = torch.autograd.grad(held, one)
    twin = one.detach().clone().requires_grad_(True)
    (asked,) = torch.autograd.grad(model(twin)[:, 1].sum(), twin)
    torch.testing.assert_close(slope, asked, atol=1e-6, rtol=1e-5)


def test_smaller_tiles_forget_what_was_recorded(buffers):
    victim = Victim(network())
    victim.arrange(images())
    for _ in range(3):
        victim.logits(images(32))
    assert buffers.made == 1
    victim.halve_tiles(torch.device("cpu"))
    for _ in range(3):
        victim.logits(images(16))
    assert buffers.made == 2
