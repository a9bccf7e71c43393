"""Losses that attacks raise: logits N×K and what is aimed at → one value per image, in float32.

Untargeted ones take labels N, targeted ones `aims` N×2: the label and the target of each image.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from robench.device import reading_waits
from robench.victim import Loss

# Below this cross-entropy, that is from a lead of 12 on, PyTorch's gradient is off by more than
# 1 %, because it takes 1 − p_y from a rounded p_y; from a lead of 17 on it has lost z_y whole.
_CONFIDENT = math.log1p(math.exp(-12.0))
# From this lead on, the slope would soon be too small for float32, above all after its way back
# through a network.
_FLAT = 50.0


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the true label, log(1 + exp(−lead)), the lead being z_y − log Σ exp(z_k)
    over the other classes.

    Its gradient does not vanish for confident networks, as PyTorch's does in float32. Up to a
    lead of 12, value and gradient are PyTorch's, bit for bit; above, it is exp(−lead), which has
    the same value and gradient to 1e-5; above 50 the tangent there, whose gradient is a positive
    multiple of the true one.
    """
    logits = logits.float()
    plain = functional.cross_entropy(logits, labels, reduction="none")
    confident = plain.detach() < _CONFIDENT
    if not reading_waits(confident.device) and not bool(confident.any()):
        return plain
    others = logits.scatter(1, labels[:, None], float("-inf"))
    lead = _of(logits, labels) - others.logsumexp(dim=1)
    # Within bounds, so that rows which are not chosen have no infinite gradient to multiply by 0.
    tail = torch.exp(-lead.clamp(0.0, _FLAT)) * (1.0 - (lead - _FLAT).clamp_min(0.0))
    return torch.where(confident, tail, plain)


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


def log_odds(logits: Tensor, classes: Tensor) -> Tensor:
    """log p/(1 − p) of one class of each image, float32 of length N, from logits N×K; or N×S from
    N×S×K. It rises with the class's probability, and does not round to one value where that does.
    """
    index = classes.reshape(-1, *[1] * (logits.dim() - 1)).expand(*logits.shape[:-1], 1)
    # In float64: the last bit of a float32 exponential depends on how many rows share the call.
    exact = logits.double()
    others = exact.scatter(-1, index, float("-inf"))
    return (exact.gather(-1, index)[..., 0] - others.logsumexp(dim=-1)).float()


def broken(logits: Tensor, labels: Tensor) -> Tensor:
    """Where the prediction is not the label; boolean of length N."""
    return torch.ne(logits.argmax(dim=1), labels)


def _of(logits: Tensor, classes: Tensor) -> Tensor:
    return logits.gather(1, classes[:, None])[:, 0]


LossName = Literal["ce", "margin", "dlr"]
LOSSES: dict[LossName, tuple[Loss, Loss]] = {
    "ce": (cross_entropy, targeted_cross_entropy),
    "margin": (cw, targeted_cw),
    "dlr": (dlr, targeted_dlr),
}
"""Each loss by its name: away from the label, and towards a target."""
