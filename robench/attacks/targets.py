"""The class a targeted attack steers to.

An image counts as broken as soon as its prediction is wrong, whichever class that is: the target
says where the attack looks, not what it has to reach.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from robench.attacks.draws import Draws
from robench.attacks.query import Query

Target = Literal["least-likely", "random", "next"] | int
_WORDS = ("least-likely", "random", "next")


def check_target(target: Target) -> Target:
    """A word of `Target`, or a class from 0 on. Raises ValueError otherwise."""
    number = isinstance(target, int) and not isinstance(target, bool) and target >= 0
    if not number and target not in _WORDS:
        raise ValueError(f"target: got {target!r}, expected {', '.join(_WORDS)} or a class number")
    return target


def aimed_at(target: Target | None, victim: Query, random: Draws) -> Tensor | None:
    """The `target_classes` of the images of `victim`, for a forward each; None without a target.
    """
    if target is None:
        return None
    return target_classes(target, victim.clean_logits(), victim.labels, random)


def target_classes(target: Target, logits: Tensor, labels: Tensor, random: Draws) -> Tensor:
    """The target of each image, int64 of length N, never its label.

    `logits` N×K are those of the clean images. "least-likely": the lowest logit; "random": any
    other class, drawn; "next": (label + 1) mod K; a number: that class, and the next one for
    images whose label it is. Raises ValueError for a class that the network does not have.
    """
    classes = logits.shape[1]
    if target == "least-likely":
        return logits.scatter(1, labels[:, None], float("inf")).argmin(dim=1)
    if target == "random":
        steps = (random.uniform(1)[:, 0] * (classes - 1)).long().clamp(max=classes - 2) + 1
        return (labels + steps) % classes
    if target == "next":
        return (labels + 1) % classes
    assert isinstance(target, int)
    if target >= classes:
        raise ValueError(f"target: got class {target}, the network has {classes}")
    chosen = torch.full_like(labels, target)
    return torch.where(chosen == labels, (labels + 1) % classes, chosen)
