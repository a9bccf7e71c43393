"""The settings every recipe shares: their checks, the learning rate, the optimizer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from robench.training.checks import (
    check_choice,
    check_not_negative,
    check_positive,
    check_share,
    check_whole,
)

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine")
CLASS_WEIGHTS = ("auto", "balanced", "none")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How long, in which batches and with which updates a network is trained.

    `epochs` ≥ 1 passes over the training split in batches of `batch_size` ≥ 2 images.
    `optimizer`: "adam", "adamw" or "sgd"; `weight_decay` ≥ 0 is an L2 penalty, decoupled for
    adamw; `momentum` in [0,1) counts for sgd only. `schedule`: see `learning_rate_at`.
    `class_weights`: see `robench.training.balance.class_weights`. `patience`: stop after that
    many epochs without a better selection value, None for never; without a validation split
    it has no effect. Raises UserError naming the first parameter that is not usable.
    """

    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    weight_decay: float
    momentum: float
    schedule: str
    class_weights: str
    patience: int | None

    def __post_init__(self) -> None:
        check_whole("epochs", self.epochs, low=1)
        check_whole("batch_size", self.batch_size, low=2)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_positive("learning_rate", self.learning_rate)
        check_not_negative("weight_decay", self.weight_decay)
        check_share("momentum", self.momentum)
        check_choice("schedule", self.schedule, SCHEDULES)
        check_choice("class_weights", self.class_weights, CLASS_WEIGHTS)
        if self.patience is not None:
            check_whole("patience", self.patience, low=1)

    def learning_rate_at(self, epoch: int) -> float:
        """The learning rate of `epoch` (from 1): a function of it, so there is no state to keep.

        "constant": the same for all; "cosine": from the whole rate in the first epoch along
        half a cosine that would reach 0 in the epoch after the last.
        """
        if self.schedule == "constant":
            return self.learning_rate
        progress = (epoch - 1) / self.epochs
        return self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))

    def make_optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """A fresh optimizer over `parameters`, at the learning rate of the first epoch."""
        rate, decay = self.learning_rate, self.weight_decay
        if self.optimizer == "adam":
            return torch.optim.Adam(parameters, lr=rate, weight_decay=decay, fused=True)
        if self.optimizer == "adamw":
            return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=True)
        return torch.optim.SGD(
            parameters, lr=rate, weight_decay=decay, momentum=self.momentum, fused=True
        )
