"""The recipe `meddef-at`: its loss, its attack in each phase, and its safety rule at work."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from robench.errors import UserError
from robench.training.meddef_at import CleanAndPgd, meddef_at, pgd
from robench.training.meddef_schedule import SafetyRule
from robench.training.objective import Epoch

from .stand_ins import (
    InterruptedByTestError,
    Recorder,
    same_bits,
    small_network,
    striped_data,
)
from .test_craft import batch, seeded
from .test_meddef_schedule import PAPER, history
from .test_tvl import EPOCH

SHORT: dict[str, Any] = {
    "device": "cpu", "seed": 0, "epochs": 6, "batch_size": 16, "warm_up_epochs": 1,
    "aggressive_epochs": 2, "steps": 2, "validation_steps": 2, "learning_rate": 0.01,
}  # fmt: skip


def objective(**rule: float) -> CleanAndPgd:
    return CleanAndPgd(
        validation=pgd(0.03, steps=2, step_limit=0.003), schedule=PAPER,
        safety=SafetyRule(**{"tolerance": 0.05, "factor": 0.8, **rule}), steps=40,
        step_limit=0.003,
    )  # fmt: skip


def at(number: int, *accuracies: float) -> Epoch:
    return replace(EPOCH, number=number, history=history(*accuracies), generator=seeded())


@pytest.mark.parametrize(("epoch", "epsilon", "step", "weight"), [
    (at(1), 0.01, 0.01 / 6, 0.2),
    (at(8), 0.02, 0.003, 0.2),
    (at(16), 0.025, 0.003, 0.35),
    (at(23), 0.04, 0.003, 0.5),
    (at(24, 0.9, 0.5), 0.03 * 0.8, 0.003, 0.5 * 0.8),
    (at(24, 0.9, 0.5, 0.5, 0.5), 0.03 * 0.8**3, 0.03 * 0.8**3 / 6, 0.5 * 0.8**3),
])  # fmt: skip
def test_the_attack_and_the_weight_of_an_epoch(
    epoch: Epoch, epsilon: float, step: float, weight: float
) -> None:
    found = objective().adversary(epoch)
    assert (found.epsilon, found.step_size) == pytest.approx((epsilon, step))
    assert (found.steps, found.random_start, found.norm) == (40, True, "linf")
    assert objective().weight(epoch) == pytest.approx(weight)


def test_the_loss_is_the_weighted_sum() -> None:
    network, (images, labels) = small_network(dropout=0.0).eval(), batch()
    epoch = replace(at(16, 0.9, 0.5), class_weights=torch.tensor([0.5, 1.5]))
    crafted = objective().crafted(network, images, labels, epoch)
    assert float((crafted - images).abs().max()) <= 0.02 + 1e-7
    loss, logits = objective().loss_on(network, images, crafted, labels, epoch)
    clean, attacked = (
        (functional.cross_entropy(network(pixels), labels, reduction="none")
         * torch.tensor([0.5, 1.5])[labels]).mean()
        for pixels in (images, crafted)
    )
    weight = 0.35 * 0.8
    assert loss.item() == pytest.approx((1 - weight) * clean.item() + weight * attacked.item())
    assert torch.equal(logits, network(crafted))


class Forgetful(nn.Module):
    """Right on all validation images until a chosen epoch, wrong on all in that one."""

    def __init__(self, *bad: int) -> None:
        super().__init__()
        self.inner = small_network(dropout=0.0)
        self.bad = bad
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))

    def train(self, mode: bool = True) -> Forgetful:
        if mode and not self.training:
            self.epoch += 1
        return super().train(mode)

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            return self.inner(images)
        darker_left = images[..., :4].mean(dim=(1, 2, 3)) < images[..., 4:].mean(dim=(1, 2, 3))
        sign = -1.0 if int(self.epoch) in self.bad else 1.0
        logit = torch.where(darker_left, -2.0, 2.0) * sign + 0.0 * images.sum(dim=(1, 2, 3))
        return torch.stack([-logit, logit], dim=1)


def test_degraded_epochs_ease_the_next_and_it_is_told() -> None:
    recorder = Recorder()
    meddef_at(Forgetful(2, 3), striped_data(), **SHORT, monitor=recorder)
    assert [report.validation_accuracy for report in recorder.reports] == [1, 0, 0, 1, 1, 1]
    remarks = [report.remark for report in recorder.reports]
    assert remarks[:2] == ["", ""]
    assert remarks[2] == "validation had degraded: epsilon 0.0320, weight 0.400 (× 0.80)"
    assert remarks[3] == "validation had degraded: epsilon 0.0192, weight 0.320 (× 0.64)"
    assert remarks[4] == "validation had degraded: epsilon 0.0240, weight 0.400 (× 0.80)"
    assert remarks[5] == ""
    assert not any(report.stop for report in recorder.reports)


@pytest.mark.parametrize("stop", [
    {"stop_after_epoch": 2}, {"stop_after_epoch": 3}, {"stop_at_batch": (4, 2)},
])  # fmt: skip
def test_the_rule_survives_an_interruption(stop: dict[str, Any]) -> None:
    data = striped_data()
    undisturbed, ruleless = Recorder(), Recorder()
    expected = meddef_at(Forgetful(2, 3), data, **SHORT, monitor=undisturbed)
    meddef_at(Forgetful(2, 3), data, **SHORT, safety_factor=1.0, monitor=ruleless)
    recorder = Recorder(**stop)
    with pytest.raises(InterruptedByTestError):
        meddef_at(Forgetful(2, 3), data, **SHORT, monitor=recorder)
    again = Recorder(stored=recorder.stored)
    resumed = meddef_at(Forgetful(2, 3), data, **SHORT, monitor=again)
    assert same_bits(resumed.inner, expected.inner)
    last, resumed_last, other = (
        each.load().network for each in (undisturbed, again, ruleless)
    )
    assert all(torch.equal(value, last[name]) for name, value in resumed_last.items())
    assert not torch.equal(other["inner.1.weight"], last["inner.1.weight"])
    remarks = [report.remark for report in [*recorder.reports, *again.reports]]
    assert remarks == [report.remark for report in undisturbed.reports]


@pytest.mark.parametrize(("settings", "told"), [
    ({"epochs": 2}, "the schedule does not fit into the training"),
    ({"stabilization_epsilon": 1.5}, "parameter 'stabilization_epsilon'"),
    ({"aggressive_epsilons": (0.02, 4.0)}, "parameter 'aggressive_epsilons'"),
    ({"steps": 0}, "parameter 'steps'"),
    ({"validation_steps": 0}, "parameter 'validation_steps'"),
    ({"step_limit": 0.0}, "parameter 'step_limit'"),
    ({"safety_factor": 0.0}, "parameter 'safety_factor'"),
    ({"adversarial_weights": (0.2, 2.0)}, "parameter 'adversarial_weights'"),
    ({"awp": {"gama": 1}}, "parameter 'awp'"),
])  # fmt: skip
def test_unfit_settings(settings: dict[str, Any], told: str) -> None:
    network = small_network()
    before = small_network()
    with pytest.raises(UserError) as caught:
        meddef_at(network, striped_data(), **{**SHORT, **settings})
    assert told in str(caught.value)
    assert same_bits(network, before)
