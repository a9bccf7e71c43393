"""Losses that attacks raise: logits N×K, labels N → one value per image, in float32."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the true label."""
    return functional.cross_entropy(logits.float(), labels, reduction="none")


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """The true label's logit minus the best other one: negative where the image is broken."""
    truth = logits.gather(1, labels[:, None])[:, 0]
    others = logits.scatter(1, labels[:, None], float("-inf"))
    return truth - others.amax(dim=1)


def broken(logits: Tensor, labels: Tensor) -> Tensor:
    """Where the prediction is not the label; boolean of length N."""
    return torch.ne(logits.argmax(dim=1), labels)
