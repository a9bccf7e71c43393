"""Measuring a network on the validation split, and which epoch is the better one."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from robench.training.balance import balanced_accuracy, is_unbalanced
from robench.training.batches import index_batches, load_batches
from robench.training.logits import class_logits
from robench.training.monitor import EpochReport
from robench.training.objective import Epoch, Objective, Verdict, Watchful

if TYPE_CHECKING:
    from robench.data import Split

_log = logging.getLogger(__name__)

LAST_EPOCH = "last epoch (no validation split)"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A network on the validation split.

    `accuracy` is on clean images; `robust_accuracy` counts the images that are right before and
    after the attack. Epochs are compared on `value`, the robust accuracy where there is one and
    else the accuracy, each as the mean of the classes' recalls where the training split's
    classes are unbalanced; `criterion` names it. `loss` is the mean cross-entropy on the images
    that `value` is about.
    """

    accuracy: float
    robust_accuracy: float | None
    value: float
    loss: float
    criterion: str

    def is_better_than(self, best: EpochReport | None) -> bool:
        """A higher value wins, then the lower loss, then the earlier epoch."""
        if best is None or best.selection_value is None or best.validation_loss is None:
            return True
        return (self.value, -self.loss) > (best.selection_value, -best.validation_loss)


def measure(
    network: nn.Module,
    split: Split,
    objective: Objective,
    *,
    epoch: Epoch,
    training_counts: np.ndarray,
    batch_size: int,
    device: torch.device,
) -> Measurement:
    """Measure `network`, which is left in eval mode, on all images of `split`.

    `training_counts`: images per class of the training split, length K.
    """
    network.eval()
    rights: list[Tensor] = []
    robusts: list[Tensor] = []
    losses: list[Tensor] = []
    batches = index_batches(np.arange(len(split)), batch_size)
    for images, labels in load_batches(split, batches, device):
        logits = _logits(network, images)
        right = logits.argmax(dim=1) == labels
        rights.append(right)
        attacked = objective.attacked(network, images, labels, epoch)
        if attacked is not None:
            logits = _logits(network, attacked)
            robusts.append(right & (logits.argmax(dim=1) == labels))
        losses.append(functional.cross_entropy(logits, labels, reduction="none"))
    clean = _joined(rights)
    robust = _joined(robusts) if robusts else None
    decides = clean if robust is None else robust
    unbalanced = is_unbalanced(training_counts)
    name = "validation accuracy" if robust is None else "robust validation accuracy"
    return Measurement(
        accuracy=float(clean.mean()),
        robust_accuracy=None if robust is None else float(robust.mean()),
        value=balanced_accuracy(decides, split.labels) if unbalanced else float(decides.mean()),
        loss=float(_joined(losses).mean(dtype=np.float64)),
        criterion=f"balanced {name}" if unbalanced else name,
    )


def judge(
    network: nn.Module,
    split: Split,
    objective: Objective,
    found: Measurement,
    *,
    epoch: Epoch,
    batch_size: int,
    device: torch.device,
) -> Verdict | None:
    """What `objective` says of a network that was measured on `split`; it is logged too."""
    if not isinstance(objective, Watchful):
        return None
    batches = index_batches(np.arange(len(split)), batch_size)
    verdict = objective.verdict(network, load_batches(split, batches, device), found, epoch)
    if verdict is not None:
        _log.info("epoch %d: %s", epoch.number, verdict.remark)
    return verdict


def _logits(network: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return class_logits(network(images))


def _joined(parts: list[Tensor]) -> np.ndarray:
    return torch.cat(parts).cpu().numpy()
