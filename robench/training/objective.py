"""What a recipe adds to the epoch loop: the loss of a batch, and what validation looks at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from robench.training.monitor import EpochReport

if TYPE_CHECKING:
    from robench.training.validation import Measurement


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """Where a training is: epoch `number` (from 1) of `total`, after those of `history`.

    `generator` is on the images' device and seeded for this epoch; an objective takes its
    random numbers from it or from torch's global generator, which is seeded as well, and keeps
    no state of its own from one epoch to the next. What depends on former epochs is read from
    `history`. `class_weights`, float32 of length K on the device, or None for equal weights.
    """

    number: int
    total: int
    history: tuple[EpochReport, ...]
    class_weights: Tensor | None
    generator: torch.Generator


class Objective(Protocol):
    """One recipe. Images are float32 N×C×H×W in [0,1], labels int64 N."""

    def loss(
        self, network: nn.Module, images: Tensor, labels: Tensor, epoch: Epoch, /
    ) -> tuple[Tensor, Tensor]:
        """The loss to descend (a scalar) and the logits N×K that training accuracy counts.

        The network is in train mode, and is so again afterwards.
        """

    def attacked(
        self, network: nn.Module, images: Tensor, labels: Tensor, epoch: Epoch, /
    ) -> Tensor | None:
        """The validation images on which robust accuracy is measured and epochs are selected.

        None where clean accuracy selects. The network is in eval mode. `epoch.generator` has
        the same state in every epoch, so that epochs are compared on the same random starts.
        """


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What an objective says of an epoch; `stop` ends the training, the best epoch is kept."""

    remark: str
    stop: bool = False


@runtime_checkable
class Watchful(Protocol):
    """An objective that looks at each epoch once more, after it was measured."""

    def verdict(
        self, network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], found: Measurement,
        epoch: Epoch, /,
    ) -> Verdict | None:
        """What there is to say, None for nothing; not called without a validation split.

        `batches` are the validation images and labels, `found` was measured on them. The
        network is in eval mode. `epoch.generator` has the same state in every epoch.
        """
