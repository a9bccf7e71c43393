"""From what a network returns to the logits and the loss of a batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def class_logits(output: Tensor) -> Tensor:
    """Logits N×K, K ≥ 2, float32: one logit z is adapted as (0, z).

    Checks nothing, so that a GPU need not be waited for.
    """
    if output.shape[1] == 1:
        output = torch.cat([torch.zeros_like(output), output], dim=1)
    return output.float()


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
    """The mean over the N images of weight(label) · cross-entropy.

    It is divided by N and not by the weights in the batch: the expectation over batches is then
    the weighted risk, however few images of a class a batch holds.
    """
    total = functional.cross_entropy(logits, labels, weight=weights, reduction="sum")
    return total / len(labels)
