import copy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from robench.training.balance import class_weights
from robench.training.loop import train
from robench.training.objective import Epoch
from robench.training.pgd_at import pgd_at
from robench.training.seeding import shuffled
from robench.training.settings import Settings
from robench.training.standard import CleanImages, standard
from robench.training.validation import LAST_EPOCH

from .stand_ins import (
    InterruptedByTestError,
    Recorder,
    same_bits,
    small_network,
    striped_data,
    stripes,
)

ON_CPU = {"device": "cpu", "seed": 0}
SETTINGS = Settings(
    epochs=3, batch_size=8, optimizer="adam", learning_rate=0.01, weight_decay=0.0,
    momentum=0.9, schedule="constant", class_weights="auto", patience=None,
)  # fmt: skip
RECIPES = [
    partial(standard, epochs=4, batch_size=8, **ON_CPU),
    partial(standard, epochs=4, batch_size=8, optimizer="sgd", learning_rate=0.05, **ON_CPU),
    partial(standard, epochs=4, batch_size=8, optimizer="adamw", patience=2, **ON_CPU),
    partial(pgd_at, epochs=4, batch_size=8, steps=2, validation_steps=2, **ON_CPU),
    partial(
        pgd_at,
        epochs=4,
        batch_size=8,
        steps=2,
        validation_steps=2,
        norm="l2",
        epsilon=0.3,
        **ON_CPU,
    ),
]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(
    "stop", [{"stop_after_epoch": 1}, {"stop_after_epoch": 3}, {"stop_at_batch": (3, 2)}]
)
def test_taken_up_again_it_ends_in_the_same_bits(
    recipe: partial[nn.Module], stop: dict[str, object]
) -> None:
    data = striped_data(41)
    undisturbed = Recorder()
    expected = recipe(small_network(), data, monitor=undisturbed)

    recorder = Recorder(**stop)
    with pytest.raises(InterruptedByTestError):
        recipe(small_network(), data, monitor=recorder)
    torch.rand(5)
    again = Recorder(stored=recorder.stored)
    resumed = recipe(small_network(dropout=0.3), data, monitor=again)

    assert same_bits(resumed, expected)
    reports = [*recorder.reports, *again.reports]
    timeless = [replace(report, seconds=0.0, seconds_left=0.0) for report in reports]
    assert timeless == [
        replace(report, seconds=0.0, seconds_left=0.0) for report in undisturbed.reports
    ]


def test_a_finished_training_is_only_loaded() -> None:
    recorder = Recorder()
    expected = RECIPES[0](small_network(), striped_data(), monitor=recorder)
    again = Recorder(stored=recorder.stored)
    assert same_bits(RECIPES[0](small_network(), striped_data(), monitor=again), expected)
    assert again.reports == again.batches == []


@pytest.mark.parametrize("recipe", [RECIPES[0], RECIPES[3]])
def test_seed_decides_and_the_callers_random_state_does_not(recipe: partial[nn.Module]) -> None:
    data = striped_data()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = recipe(small_network(), data)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert same_bits(recipe(small_network(), data), first)
    assert not same_bits(recipe(small_network(), data, seed=1), first)


def test_network_is_trained_in_place_in_train_mode_and_ends_in_eval_mode() -> None:
    modes: list[bool] = []
    network = small_network().eval()
    network[4].register_forward_hook(lambda module, *_: modes.append(module.training))
    before = copy.deepcopy(network)
    returned = train(network, striped_data(), CleanImages(), settings=SETTINGS, **ON_CPU)
    assert returned is network
    assert not same_bits(network, before)
    assert not any(module.training for module in network.modules())
    assert all(weight.grad is None for weight in network.parameters())
    assert True in modes
    assert False in modes


def test_frozen_weights_stay() -> None:
    network = small_network()
    network[1].requires_grad_(False)
    kept = network[1].weight.clone()
    head = network[10].weight.clone()
    train(network, striped_data(), CleanImages(), settings=SETTINGS, **ON_CPU)
    assert torch.equal(network[1].weight, kept)
    assert not network[1].weight.requires_grad
    assert not torch.equal(network[10].weight, head)


def test_one_epoch_is_plain_torch() -> None:
    data = striped_data(40, ones=0.7, validation=False)
    settings = replace(SETTINGS, epochs=1, optimizer="sgd")
    network = train(small_network(dropout=0.0), data, CleanImages(), settings=settings, **ON_CPU)

    expected = small_network(dropout=0.0).train()
    optimizer = torch.optim.SGD(expected.parameters(), lr=0.01, momentum=0.9)
    counts = np.bincount(data.train.labels)
    weights = torch.from_numpy(class_weights(counts, "balanced")).float()
    for rows in np.split(shuffled(40, 0, 1), 5):
        pixels = torch.from_numpy(data.train.images[rows]).permute(0, 3, 1, 2).contiguous() / 255.0
        labels = torch.from_numpy(data.train.labels[rows])
        losses = functional.cross_entropy(expected(pixels), labels, reduction="none")
        optimizer.zero_grad()
        (losses * weights[labels]).mean().backward()
        optimizer.step()
    for name, value in expected.state_dict().items():
        assert torch.allclose(network.state_dict()[name], value, atol=1e-5), name


class Scripted(nn.Module):
    """Right on a chosen share of the validation images in each epoch; counts its epochs."""

    def __init__(self, shares: list[float]) -> None:
        super().__init__()
        self.shares = shares
        self.weight = nn.Parameter(torch.zeros(()))
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))

    def train(self, mode: bool = True) -> "Scripted":
        if mode and not self.training:
            self.epoch += 1
        return super().train(mode)

    def forward(self, images: Tensor) -> Tensor:
        right = round(self.shares[min(int(self.epoch), len(self.shares)) - 1] * len(images))
        darker_left = images[..., :4].mean(dim=(1, 2, 3)) < images[..., 4:].mean(dim=(1, 2, 3))
        sign = torch.where(torch.arange(len(images)) < right, 1.0, -1.0)
        logit = torch.where(darker_left, -2.0, 2.0) * sign
        return torch.stack([-logit, logit], dim=1) + self.weight


def scripted(shares: list[float], **changes: object) -> tuple[nn.Module, Recorder]:
    recorder = Recorder()
    settings = replace(SETTINGS, epochs=len(shares), batch_size=48, **changes)
    data = striped_data()
    network = train(
        Scripted(shares), data, CleanImages(), settings=settings, monitor=recorder, **ON_CPU
    )
    return network, recorder


def test_the_best_epoch_is_kept_and_the_earlier_of_equals() -> None:
    network, recorder = scripted([0.5, 0.75, 0.25, 0.75, 0.5])
    assert int(network.epoch) == 2
    assert [report.selected for report in recorder.reports] == [True, True, False, False, False]
    accuracies = [report.validation_accuracy for report in recorder.reports]
    assert accuracies == [0.5, 0.75, 0.25, 0.75, 0.5]
    assert {report.criterion for report in recorder.reports} == {"validation accuracy"}


def test_patience_counts_epochs_without_a_better_value() -> None:
    network, recorder = scripted([0.5, 0.25, 0.75, 0.5, 0.5, 1.0], patience=2)
    assert len(recorder.reports) == 5
    assert int(network.epoch) == 3
    _, recorder = scripted([0.5, 0.25, 0.75, 0.5, 0.5, 1.0], patience=3)
    assert len(recorder.reports) == 6


def test_without_validation_the_last_epoch_is_kept_and_said() -> None:
    recorder = Recorder()
    network = train(
        small_network(), striped_data(validation=False), CleanImages(),
        settings=replace(SETTINGS, patience=1), monitor=recorder, **ON_CPU,
    )  # fmt: skip
    assert len(recorder.reports) == 3
    last = recorder.load().network
    assert all(torch.equal(value, last[name]) for name, value in network.state_dict().items())
    assert {report.criterion for report in recorder.reports} == {LAST_EPOCH}
    assert all(report.selected for report in recorder.reports)
    assert all(report.validation_accuracy is None for report in recorder.reports)
    assert recorder.load().history == tuple(recorder.reports)


def test_a_trailing_image_trains_with_the_batch_before_it() -> None:
    recorder = Recorder()
    data = striped_data(17)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    train(network, data, CleanImages(), settings=SETTINGS, monitor=recorder, **ON_CPU)
    assert recorder.batches == [(1, 2), (2, 2)] * 3


def test_reports_tell_the_epoch_and_the_time() -> None:
    recorder = Recorder()
    settings = replace(SETTINGS, schedule="cosine")
    train(
        small_network(), striped_data(), CleanImages(), settings=settings,
        monitor=recorder, **ON_CPU,
    )  # fmt: skip
    assert [(report.epoch, report.epochs) for report in recorder.reports] == [
        (1, 3), (2, 3), (3, 3),
    ]  # fmt: skip
    assert [report.learning_rate for report in recorder.reports] == pytest.approx(
        [0.01, 0.0075, 0.0025]
    )
    spent = [report.seconds for report in recorder.reports]
    assert recorder.reports[1].seconds_left == pytest.approx(sum(spent[:2]) / 2)
    assert recorder.reports[2].seconds_left == 0.0


def test_one_logit_for_two_classes() -> None:
    recorder = Recorder()
    settings = replace(SETTINGS, epochs=8)
    network = train(
        small_network(outputs=1), striped_data(), CleanImages(), settings=settings,
        monitor=recorder, **ON_CPU,
    )  # fmt: skip
    assert network(torch.rand(2, 1, 8, 8)).shape == (2, 1)
    assert max(report.validation_accuracy for report in recorder.reports) > 0.9


def test_an_objective_sees_the_history_and_the_same_validation_draws() -> None:
    seen: list[tuple[int, int, int]] = []
    starts: list[list[float]] = []
    draws: list[float] = []

    class Curious(CleanImages):
        def loss(
            self, network: nn.Module, images: Tensor, labels: Tensor, epoch: Epoch
        ) -> tuple[Tensor, Tensor]:
            seen.append((epoch.number, epoch.total, len(epoch.history)))
            draws.append(float(torch.rand((), generator=epoch.generator)))
            return super().loss(network, images, labels, epoch)

        def attacked(self, network, images, labels, epoch) -> Tensor:  # type: ignore[no-untyped-def]
            starts.append(
                torch.rand(2, generator=epoch.generator).tolist() + torch.rand(1).tolist()
            )
            return images

    settings = replace(SETTINGS, batch_size=48)
    train(small_network(), striped_data(), Curious(), settings=settings, **ON_CPU)
    assert seen == [(1, 3, 0), (2, 3, 1), (3, 3, 2)]
    assert starts[0] == starts[1] == starts[2]
    assert len(set(draws)) == 3


def test_an_empty_validation_split_is_none() -> None:
    data = replace(striped_data(), validation=stripes(0, seed=0))
    recorder = Recorder()
    train(small_network(), data, CleanImages(), settings=SETTINGS, monitor=recorder, **ON_CPU)
    assert recorder.reports[0].criterion == LAST_EPOCH
