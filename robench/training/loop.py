"""The epoch loop that all recipes share."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from robench.errors import VictimError
from robench.logits import checked
from robench.training.balance import class_weights
from robench.training.batches import (
    index_batches,
    load_batches,
    training_split,
    validation_split,
)
from robench.training.mixed import arranged_for, mixed
from robench.training.monitor import EpochReport, Monitor, SilentMonitor, best_of
from robench.training.objective import Epoch, Objective, Verdict
from robench.training.seeding import generator, reproducible, shuffled
from robench.training.settings import Settings
from robench.training.state import TrainingState, optimizer_entries, tensors_of
from robench.training.validation import LAST_EPOCH, Measurement, judge, measure

if TYPE_CHECKING:
    from robench.data import Dataset, Split

_LOOK_EVERY = 16
"""Batches between two looks at the loss: each look makes a GPU wait."""


def train(
    network: nn.Module,
    dataset: Dataset,
    objective: Objective,
    *,
    settings: Settings,
    device: torch.device | str,
    seed: int,
    monitor: Monitor | None = None,
    select_from: int = 1,
) -> nn.Module:
    """Train `network` in place and return it with the selected weights, in eval mode.

    The network is moved to `device` and maps float32 pixels N×C×H×W in [0,1] to logits N×K, or
    N×1 for two classes. The weights of the best epoch on the validation split are kept (see
    `Measurement`), without one those of the last epoch. Epochs before `select_from` are never
    the best, as a recipe of several phases needs. Weights that arrive frozen stay so.

    On a GPU, updates are computed in mixed precision (bfloat16) and channels-last; adversarial
    images are crafted in float32.

    All random numbers are functions of `seed` and the epoch: a training that goes on from the
    state `monitor` kept ends, on the same device, in the same bits as an undisturbed one.
    Torch's global generators are as before afterwards.

    Raises ValueError for a `select_from` that is no epoch of this training, UserError for a data
    set that cannot be trained on, VictimError for a network without trainable weights, with the
    wrong output, or whose loss is not finite, and StoreError for another training's state.
    """
    place = torch.device(device)
    if not 1 <= select_from <= settings.epochs:
        raise ValueError(f"select_from is {select_from}, of {settings.epochs} epochs")
    watch = monitor or SilentMonitor()
    split, counts = training_split(dataset)
    validation = validation_split(dataset)
    arranged_for(place, network.to(place))
    trainable = [weight for weight in network.parameters() if weight.requires_grad]
    if not trainable:
        raise VictimError("the network has no weights to train")
    _check_output(network, split, num_classes=dataset.num_classes, device=place, seed=seed)
    balance = class_weights(counts, settings.class_weights)
    run = _Run(
        network=network,
        split=split,
        counts=counts,
        validation=validation,
        objective=objective,
        settings=settings,
        optimizer=settings.make_optimizer(trainable),
        class_weights=None if balance is None else torch.from_numpy(balance).float().to(place),
        device=place,
        seed=seed,
        monitor=watch,
        select_from=select_from,
    )
    history: tuple[EpochReport, ...] = ()
    best: Mapping[str, Tensor] = {}
    state = watch.load()
    if state is not None:
        state.restore(network, run.optimizer, seed=seed, epochs=settings.epochs)
        history, best = state.history, state.best
    while not _is_finished(history, settings):
        report = run.epoch(history)
        history = (*history, report)
        tensors = tensors_of(network)
        best = tensors if report.selected else best
        watch.save(
            TrainingState(
                seed=seed,
                epochs=settings.epochs,
                network=tensors,
                best=best,
                optimizer=optimizer_entries(run.optimizer),
                history=history,
            )
        )
        watch.epoch(report)
    network.load_state_dict(dict(best))
    run.optimizer.zero_grad(set_to_none=True)
    return network.eval()


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One training: what stays the same from epoch to epoch."""

    network: nn.Module
    split: Split
    counts: np.ndarray
    validation: Split | None
    objective: Objective
    settings: Settings
    optimizer: torch.optim.Optimizer
    class_weights: Tensor | None
    device: torch.device
    seed: int
    monitor: Monitor
    select_from: int

    def epoch(self, history: tuple[EpochReport, ...]) -> EpochReport:
        """Train for the epoch after `history`, measure, and say what came out."""
        started = time.perf_counter()
        number = len(history) + 1
        rate = self.settings.learning_rate_at(number)
        loss, accuracy = self._pass(self._moment(history, "training", number), rate)
        found = self._measured(self._moment(history, "validation"))
        if not (math.isfinite(loss + (found.loss if found else 0.0)) and self._weights_finite()):
            raise _not_finite(number, rate)
        verdict = self._verdict(self._moment(history, "verdict"), found)
        seconds = time.perf_counter() - started
        selected = found is None or (
            number >= self.select_from and found.is_better_than(best_of(history))
        )
        spent = [*(report.seconds for report in history), seconds]
        return EpochReport(
            epoch=number,
            epochs=self.settings.epochs,
            learning_rate=rate,
            loss=loss,
            train_accuracy=accuracy,
            validation_accuracy=None if found is None else found.accuracy,
            robust_accuracy=None if found is None else found.robust_accuracy,
            validation_loss=None if found is None else found.loss,
            selection_value=None if found is None else found.value,
            criterion=LAST_EPOCH if found is None else found.criterion,
            selected=selected,
            seconds=seconds,
            seconds_left=(self.settings.epochs - number) * sum(spent) / len(spent),
            remark="" if verdict is None else verdict.remark,
            stop=verdict is not None and verdict.stop,
        )

    def _weights_finite(self) -> bool:
        # the last update comes after the last loss
        looks = [torch.isfinite(weight.detach()).all() for weight in self.network.parameters()]
        return bool(torch.stack(looks).all())

    def _moment(self, history: tuple[EpochReport, ...], *purpose: str | int) -> Epoch:
        return Epoch(
            number=len(history) + 1,
            total=self.settings.epochs,
            history=history,
            class_weights=self.class_weights,
            generator=generator(self.device, self.seed, *purpose),
        )

    def _pass(self, epoch: Epoch, rate: float) -> tuple[float, float]:
        """One pass over the training split: its mean loss and its accuracy."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        order = shuffled(len(self.split), self.seed, epoch.number)
        batches = index_batches(order, self.settings.batch_size)
        losses: list[Tensor] = []  # left on the device, which need not be waited for
        right: list[Tensor] = []
        self.network.train()
        with reproducible(self.device, self.seed, "training", epoch.number):
            for done, (images, labels) in enumerate(
                load_batches(self.split, batches, self.device), start=1
            ):
                with mixed(self.device):
                    loss, logits = self.objective.loss(self.network, images, labels, epoch)
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                self.optimizer.step()
                losses.append(loss.detach())
                right.append((logits.detach().argmax(dim=1) == labels).sum())
                if done % _LOOK_EVERY == 0 and not bool(torch.isfinite(losses[-1])):
                    raise _not_finite(epoch.number, rate)
                self.monitor.batch(done, len(batches))
        sizes = [len(rows) for rows in batches]
        mean_loss = np.average(torch.stack(losses).cpu().double().numpy(), weights=sizes)
        return float(mean_loss), int(torch.stack(right).sum()) / len(order)

    def _measured(self, epoch: Epoch) -> Measurement | None:
        if self.validation is None:
            return None
        with reproducible(self.device, self.seed, "validation"):
            return measure(
                self.network, self.validation, self.objective, epoch=epoch,
                training_counts=self.counts, batch_size=self.settings.batch_size,
                device=self.device,
            )

    def _verdict(self, epoch: Epoch, found: Measurement | None) -> Verdict | None:
        if self.validation is None or found is None:
            return None
        with reproducible(self.device, self.seed, "verdict"):
            return judge(
                self.network, self.validation, self.objective, found, epoch=epoch,
                batch_size=self.settings.batch_size, device=self.device,
            )


def _is_finished(history: tuple[EpochReport, ...], settings: Settings) -> bool:
    if len(history) >= settings.epochs or (history and history[-1].stop):
        return True
    best = best_of(history)
    if settings.patience is None or best is None:
        return False
    return len(history) - best.epoch >= settings.patience


def _check_output(
    network: nn.Module, split: Split, *, num_classes: int, device: torch.device, seed: int
) -> None:
    """Raise VictimError unless the network gives one finite logit per class for two images."""
    rows = np.arange(min(2, len(split)))
    network.eval()
    with reproducible(device, seed, "check"), torch.no_grad():
        for images, _ in load_batches(split, [rows], device):
            checked(network(images), rows=len(images), num_classes=num_classes)


def _not_finite(epoch: int, rate: float) -> VictimError:
    return VictimError(
        "the loss or a weight is NaN or infinite",
        where=f"training, epoch {epoch}, learning rate {rate:g}",
        expected="a finite loss: a lower learning_rate often gives one",
    )
