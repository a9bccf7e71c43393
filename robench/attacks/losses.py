"""Losses that attacks raise: logits N×K and what is aimed at → one value per image, in float32.

Untargeted ones take labels N, targeted ones `aims` N×2: the label and the target of each image.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the true label."""
    return functional.cross_entropy(logits.float(), labels, reduction="none")


def cw(logits: Tensor, labels: Tensor) -> Tensor:
    """The best other logit minus the true one (Carlini & Wagner 2017, f₆): above 0 where the image
    is broken. It is the negative `margin`."""
    return -margin(logits, labels)


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """The difference of logits ratio (Croce & Hein 2020, equation 6): −(z_y − z_other)/(z₁ − z₃).

    With two classes z₃ is not there, and dividing by the live gap would give a constant without
    a gradient: it is then `cw`.
    """
    if logits.shape[1] < 3:
        return cw(logits, labels)
    ordered = logits.float().sort(dim=1, descending=True).values
    return cw(logits, labels) / (ordered[:, 0] - ordered[:, 2] + 1e-12)


def targeted_cross_entropy(logits: Tensor, aims: Tensor) -> Tensor:
    """Minus the cross-entropy of the target."""
    return -functional.cross_entropy(logits.float(), aims[:, 1], reduction="none")


def targeted_cw(logits: Tensor, aims: Tensor) -> Tensor:
    """The target's logit minus the true one."""
    return _of(logits, aims[:, 1]) - _of(logits, aims[:, 0])


def targeted_dlr(logits: Tensor, aims: Tensor) -> Tensor:
    """−(z_y − z_t)/(z₁ − (z₃ + z₄)/2) (Croce & Hein 2020, equation 7); `targeted_cw` with fewer
    than four classes."""
    if logits.shape[1] < 4:
        return targeted_cw(logits, aims)
    ordered = logits.float().sort(dim=1, descending=True).values
    scale = ordered[:, 0] - 0.5 * (ordered[:, 2] + ordered[:, 3])
    return targeted_cw(logits, aims) / (scale + 1e-12)


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """The true label's logit minus the best other one: negative where the image is broken."""
    others = logits.scatter(1, labels[:, None], float("-inf"))
    return _of(logits, labels) - others.amax(dim=1)


def broken(logits: Tensor, labels: Tensor) -> Tensor:
    """Where the prediction is not the label; boolean of length N."""
    return torch.ne(logits.argmax(dim=1), labels)


def _of(logits: Tensor, classes: Tensor) -> Tensor:
    return logits.gather(1, classes[:, None])[:, 0]
