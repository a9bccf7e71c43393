"""The recipe `fgsm-at`: its step, and what it does where it overfits catastrophically."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robench.errors import UserError
from robench.training.fgsm_at import fgsm_at
from robench.training.loop import train
from robench.training.settings import Settings
from robench.training.standard import CleanImages

from .stand_ins import (
    InterruptedByTestError,
    Recorder,
    same_bits,
    small_network,
    striped_data,
)
from .test_craft import Spy

EPSILON = 0.1
SHORT: dict[str, Any] = {
    "device": "cpu", "seed": 0, "epochs": 5, "batch_size": 24, "epsilon": EPSILON,
    "validation_steps": 3, "learning_rate": 0.01,
}  # fmt: skip


def test_training_images_are_one_long_step_from_a_random_start_and_back() -> None:
    shown: list[tuple[bool, Tensor]] = []
    network = Spy(lambda module, pixels: shown.append((module.training, pixels.detach().clone())))
    fgsm_at(network, striped_data(24, validation=False), **{**SHORT, "epochs": 1})
    crafting, (start, moved) = shown[-2][0], (shown[-2][1], shown[-1][1])
    assert not crafting
    assert shown[-1][0]
    clean = torch.from_numpy(striped_data(24).train.images).permute(0, 3, 1, 2) / 255.0
    nearest = torch.cdist(start.flatten(1), clean.flatten(1)).argmin(dim=1)
    images = clean[nearest]
    offsets = (start - images) / EPSILON
    assert float(offsets.abs().max()) <= 1.0 + 1e-5
    assert offsets.std().item() == pytest.approx(3**-0.5, rel=0.05)
    steps = (moved - start).abs() / EPSILON
    assert float(steps.max()) <= 1.25 + 1e-5
    whole = steps > 1.25 - 1e-4
    cut = (moved - images).abs() > EPSILON - 1e-5
    in_corner = (moved == 0) | (moved == 1)
    assert bool((whole | cut | in_corner | (steps == 0)).all())
    assert 0.05 < float(whole.float().mean()) < 0.5
    assert float((moved - images).abs().max()) <= EPSILON + 1e-6


class Overfitting(nn.Module):
    """Right under one step, and under PGD only as often as its epoch says.

    Validation looks at every batch under PGD of three steps, then, for the verdict, under one
    step; the network knows by the number of passes that came before.
    """

    def __init__(self, *after_pgd: float, after_step: float = 1.0) -> None:
        super().__init__()
        self.inner = small_network(dropout=0.0)
        self.after_pgd, self.after_step = after_pgd, after_step
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))
        self.passes = 0

    def train(self, mode: bool = True) -> Overfitting:
        if mode and not self.training:
            self.epoch += 1
        return super().train(mode)

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.passes = 0
            return self.inner(images)
        self.passes += 0 if images.requires_grad else 1  # crafting asks with gradients
        share = 1.0
        if not images.requires_grad and self.passes == 2:
            share = self.after_pgd[min(int(self.epoch), len(self.after_pgd)) - 1]
        elif not images.requires_grad and self.passes == 3:
            share = self.after_step
        right = torch.arange(len(images)) < round(share * len(images))
        darker_left = images[..., :4].mean(dim=(1, 2, 3)) < images[..., 4:].mean(dim=(1, 2, 3))
        logit = torch.where(darker_left, -2.0, 2.0) * torch.where(right, 1.0, -1.0)
        logit = logit + 0.0 * images.sum(dim=(1, 2, 3))
        return torch.stack([-logit, logit], dim=1)


def trained(network: nn.Module, **changes: Any) -> tuple[nn.Module, Recorder]:
    recorder = Recorder(stored=changes.pop("stored", None), **changes.pop("interrupt", {}))
    fgsm_at(network, striped_data(24), **{**SHORT, **changes}, monitor=recorder)
    return network, recorder


def test_it_ends_and_keeps_the_epoch_before(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="robench.training"):
        network, recorder = trained(Overfitting(0.5, 0.75, 0.25, 0.9))
    assert [report.robust_accuracy for report in recorder.reports] == [0.5, 0.75, 0.25]
    last = recorder.reports[-1]
    assert last.stop
    assert last.remark == (
        "catastrophic overfitting: 25.0% right under PGD (75.0% in epoch 2), 100.0% under FGSM"
    )
    assert [report.remark for report in recorder.reports[:2]] == ["", ""]
    assert int(network.epoch) == 2
    assert f"epoch 3: {last.remark}" in caplog.text


def test_it_may_only_tell() -> None:
    network, recorder = trained(Overfitting(0.5, 0.75, 0.25, 0.9), on_overfitting="tell")
    assert len(recorder.reports) == 5
    assert [bool(report.remark) for report in recorder.reports] == [
        False, False, True, False, False,
    ]  # fmt: skip
    assert not any(report.stop for report in recorder.reports)
    assert int(network.epoch) == 4


@pytest.mark.parametrize(("network", "drop"), [
    (Overfitting(0.5, 0.75, 0.6, 0.75), 0.2),                    # too small a drop
    (Overfitting(0.5, 0.75, 0.25, 0.75), 0.6),
    (Overfitting(0.5, 0.75, 0.25, 0.75, after_step=0.25), 0.2),  # FGSM falls as well
])  # fmt: skip
def test_what_is_no_catastrophic_overfitting(network: nn.Module, drop: float) -> None:
    _, recorder = trained(network, overfitting_drop=drop)
    assert len(recorder.reports) == 5
    assert not any(report.remark for report in recorder.reports)


def test_a_training_that_was_ended_stays_ended() -> None:
    first, recorder = trained(Overfitting(0.5, 0.75, 0.25, 0.9))
    again, later = trained(Overfitting(0.5, 0.75, 0.25, 0.9), stored=recorder.stored)
    assert later.reports == []
    assert same_bits(first, again)


def test_taken_up_before_it_overfits_it_ends_alike() -> None:
    first, _ = trained(Overfitting(0.5, 0.75, 0.25, 0.9))
    recorder = Recorder(stop_after_epoch=2)
    with pytest.raises(InterruptedByTestError):
        fgsm_at(Overfitting(0.5, 0.75, 0.25, 0.9), striped_data(24), **SHORT, monitor=recorder)
    again, later = trained(Overfitting(0.5, 0.75, 0.25, 0.9), stored=recorder.stored)
    assert [report.stop for report in later.reports] == [True]
    assert same_bits(first, again)


def test_without_validation_nothing_is_seen() -> None:
    recorder = Recorder()
    fgsm_at(small_network(), striped_data(24, validation=False), **SHORT, monitor=recorder)
    assert len(recorder.reports) == 5


def test_a_loop_without_verdicts_has_no_remarks() -> None:
    recorder = Recorder()
    settings = Settings(
        epochs=1, batch_size=24, optimizer="adam", learning_rate=0.01, weight_decay=0.0,
        momentum=0.0, schedule="constant", class_weights="none", patience=None,
    )  # fmt: skip
    train(small_network(), striped_data(24), CleanImages(), settings=settings, device="cpu",
          seed=0, monitor=recorder)
    assert (recorder.reports[0].remark, recorder.reports[0].stop) == ("", False)


@pytest.mark.parametrize(("settings", "told"), [
    ({"epsilon": 1.2}, "parameter 'epsilon'"),
    ({"epsilon": 0.0}, "parameter 'epsilon'"),
    ({"step_share": 0.0}, "parameter 'step_share'"),
    ({"validation_steps": 0}, "parameter 'validation_steps'"),
    ({"overfitting_drop": 1.0}, "parameter 'overfitting_drop'"),
    ({"on_overfitting": "halt"}, "expected one of stop, tell"),
])  # fmt: skip
def test_unfit_settings(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as caught:
        fgsm_at(small_network(), striped_data(24), **{**SHORT, **settings})
    assert told in str(caught.value)
