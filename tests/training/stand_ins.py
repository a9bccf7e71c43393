"""Small data sets, networks and monitors for the tests of training."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from robench.training.monitor import EpochReport
from robench.training.state import TrainingState


@dataclass(frozen=True)
class ArraySplit:
    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ArrayData:
    train: ArraySplit | None
    validation: ArraySplit | None = None
    test: ArraySplit | None = None
    num_classes: int = 2
    name: str = "stand-in"


class InterruptedByTestError(Exception):
    """What stops a training."""


@dataclass
class Recorder:
    """A monitor that remembers everything, keeps the state as bytes, and may interrupt."""

    stop_after_epoch: int | None = None
    stop_at_batch: tuple[int, int] | None = None
    stored: bytes | None = None
    reports: list[EpochReport] = field(default_factory=list)
    batches: list[tuple[int, int]] = field(default_factory=list)

    def epoch(self, report: EpochReport) -> None:
        self.reports.append(report)
        if report.epoch == self.stop_after_epoch:
            raise InterruptedByTestError

    def batch(self, done: int, total: int) -> None:
        self.batches.append((done, total))
        if self.stop_at_batch == (len(self.reports) + 1, done):
            raise InterruptedByTestError

    def load(self) -> TrainingState | None:
        return None if self.stored is None else TrainingState.from_bytes(self.stored)

    def save(self, state: TrainingState) -> None:
        self.stored = state.to_bytes()


class Normalised(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return (images - 0.5) / 0.25


def small_network(*, outputs: int = 2, channels: int = 1, dropout: float = 0.3) -> nn.Module:
    """Convolution, BatchNorm and dropout, always with the same initial weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return nn.Sequential(
            Normalised(),
            nn.Conv2d(channels, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(64, outputs),
        )


def stripes(count: int, *, seed: int, ones: float = 0.5) -> ArraySplit:
    """Noisy 8×8 images, grey: class 0 is darker on the left, class 1 on the right."""
    random = np.random.default_rng(seed)
    labels = (np.arange(count) < round(count * ones)).astype(np.int64)
    random.shuffle(labels)
    images = random.integers(60, 196, size=(count, 8, 8, 1))
    images[labels == 0, :, :4] -= 40
    images[labels == 1, :, 4:] -= 40
    return ArraySplit(images.astype(np.uint8), labels)


def striped_data(count: int = 48, *, ones: float = 0.5, validation: bool = True) -> ArrayData:
    return ArrayData(
        train=stripes(count, seed=1, ones=ones),
        validation=stripes(24, seed=2, ones=ones) if validation else None,
    )


def digits_data() -> ArrayData:
    """scikit-learn's 8×8 digits: 1,000 to train, 300 to validate, the rest to test."""
    digits = load_digits()
    images = np.round(digits.images * (255.0 / 16.0)).astype(np.uint8)[..., None]
    labels = digits.target.astype(np.int64)
    order = np.random.default_rng(0).permutation(len(labels))
    parts = [ArraySplit(images[rows], labels[rows]) for rows in np.split(order, [1000, 1300])]
    return ArrayData(*parts, num_classes=10, name="digits")


def same_bits(one: nn.Module, other: nn.Module) -> bool:
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(
        left[name].numpy().tobytes() == right[name].numpy().tobytes() for name in left
    )
