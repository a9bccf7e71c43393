"""The recipe `distillation`: its loss, its phases, and the logits it leaves."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from torch import Tensor

from robench.errors import UserError
from robench.training.batches import to_pixels
from robench.training.distillation import (
    TeachThenDistil,
    WithTeacher,
    distillation,
    soft_cross_entropy,
)
from robench.training.phases import Phase, PhasedSettings
from robench.training.standard import standard
from robench.training.state import TrainingState

from .stand_ins import (
    InterruptedByTestError,
    Recorder,
    digits_data,
    same_bits,
    small_network,
    striped_data,
)
from .test_craft import batch
from .test_tvl import EPOCH

SHORT: dict[str, Any] = {
    "device": "cpu", "seed": 0, "teacher_epochs": 2, "student_epochs": 2, "batch_size": 8,
}  # fmt: skip


def test_the_soft_loss_is_the_formula() -> None:
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(6, 4)), random.integers(4, size=6)
    wanted, weights = softmax(random.normal(size=(6, 4)), axis=1), np.array([0.5, 1.0, 1.5, 2.0])
    each = -(wanted * log_softmax(logits, axis=1)).sum(axis=1)
    tensors = [torch.from_numpy(array) for array in (logits, wanted, labels, weights)]
    assert soft_cross_entropy(*tensors[:3], None).item() == pytest.approx(each.mean())
    weighted = soft_cross_entropy(*tensors)
    assert weighted.item() == pytest.approx((each * weights[labels]).mean())


def objective() -> TeachThenDistil:
    shared = {"batch_size": 8, "optimizer": "adam", "learning_rate": 0.01, "weight_decay": 0.0,
              "momentum": 0.9, "schedule": "constant", "class_weights": "none", "patience": None}
    phases = [Phase(name=name, epochs=1, learning_rate=0.01) for name in ("teacher", "student")]
    return TeachThenDistil(settings=PhasedSettings.of(phases, **shared), temperature=20.0)


def test_both_phases_divide_by_the_temperature() -> None:
    student, teacher = small_network(dropout=0.0), small_network()
    with torch.no_grad():
        teacher[10].weight.mul_(50.0)
    pair, (images, labels) = WithTeacher(student, teacher).train(), batch()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    loss, _ = objective().loss(pair, images, labels, replace(EPOCH, number=2))
    with torch.no_grad():
        says = copy.deepcopy(teacher).eval()(images).numpy() / 20.0
    own = copy.deepcopy(small_network(dropout=0.0)).train()(images).detach().numpy() / 20.0
    expected = -(softmax(says, axis=1) * log_softmax(own, axis=1)).sum(axis=1).mean()
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert all(weight.grad is None for weight in teacher.parameters())
    assert all(weight.grad is not None for weight in student.parameters())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert teacher.training
    assert all(weight.requires_grad for weight in teacher.parameters())

    pair.zero_grad()
    alone = small_network(dropout=0.0).train()
    pair = WithTeacher(student, alone).train()
    loss, _ = objective().loss(pair, images, labels, replace(EPOCH, number=1))
    says = small_network(dropout=0.0).train()(images).detach().numpy() / 20.0
    expected = -log_softmax(says, axis=1)[np.arange(len(labels)), labels].mean()
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert all(weight.grad is None for weight in student.parameters())


class EveryState(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, Tensor]] = []

    def save(self, state: TrainingState) -> None:
        self.seen.append(dict(state.network))
        super().save(state)


def test_each_phase_moves_its_part_and_the_teacher_is_dropped() -> None:
    network, recorder = small_network(), EveryState()
    first = {f"{part}.{name}": value.clone() for part in ("student", "teacher")
             for name, value in network.state_dict().items()}
    returned = distillation(network, striped_data(24), **SHORT, weight_decay=0.1, monitor=recorder)
    assert returned is network
    assert not hasattr(network, "teacher")
    moved = [
        {name.partition(".")[0] for name in after if not torch.equal(before[name], after[name])}
        for before, after in pairwise([first, *recorder.seen])
    ]
    assert moved == [{"teacher"}, {"teacher"}, {"student"}, {"student"}]
    assert [report.selected for report in recorder.reports][:3] == [False, False, True]


@pytest.mark.parametrize("stop", [
    {"stop_after_epoch": 1}, {"stop_after_epoch": 2}, {"stop_after_epoch": 3},
    {"stop_at_batch": (2, 2)}, {"stop_at_batch": (4, 1)},
])  # fmt: skip
def test_taken_up_again_it_ends_in_the_same_bits(stop: dict[str, Any]) -> None:
    data = striped_data(25)
    expected = distillation(small_network(), data, **SHORT)
    recorder = Recorder(**stop)
    with pytest.raises(InterruptedByTestError):
        distillation(small_network(), data, **SHORT, monitor=recorder)
    again = Recorder(stored=recorder.stored)
    assert same_bits(distillation(small_network(), data, **SHORT, monitor=again), expected)


def test_a_distilled_network_is_right_and_far_too_sure() -> None:
    data = digits_data()
    images = to_pixels(data.test.images, torch.device("cpu"))
    labels = torch.from_numpy(data.test.labels)
    shared = {"device": "cpu", "seed": 0, "learning_rate": 0.03}
    distilled = distillation(small_network(outputs=10, dropout=0.1), data, **shared,
                             teacher_epochs=4, student_epochs=5, temperature=5.0)
    plain = standard(small_network(outputs=10, dropout=0.1), data, **shared, epochs=5)
    margins, gradients = [], []
    for network in (distilled, plain):
        leaf = images.clone().requires_grad_(True)
        logits = network(leaf)
        assert float((logits.argmax(dim=1) == labels).float().mean()) > 0.85
        best = logits.detach().topk(2, dim=1).values
        margins.append(float((best[:, 0] - best[:, 1]).median()))
        torch.nn.functional.cross_entropy(logits, labels, reduction="sum").backward()
        gradients.append(float(leaf.grad.flatten(1).norm(dim=1).median()))
    assert margins[0] > 2 * margins[1]
    assert gradients[0] < 0.1 * gradients[1], "masked, at temperature 1"


@pytest.mark.parametrize(("settings", "told"), [
    ({"temperature": 0.0}, "parameter 'temperature'"),
    ({"temperature": float("inf")}, "parameter 'temperature'"),
    ({"teacher_epochs": 0}, "parameter 'teacher_epochs'"),
    ({"student_epochs": 0}, "parameter 'student_epochs'"),
    ({"optimizer": "adm"}, "parameter 'optimizer'"),
])  # fmt: skip
def test_unfit_settings(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as caught:
        distillation(small_network(), striped_data(24), **{**SHORT, **settings})
    assert told in str(caught.value)
