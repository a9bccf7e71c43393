"""A universal perturbation as the sum of DeepFool's steps for one image after another."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robench.attacks.balls import Norm
from robench.attacks.deepfool import DeepFool
from robench.attacks.draws import Draws
from robench.attacks.learning import shuffled
from robench.attacks.losses import broken
from robench.attacks.universal import inside, shown
from robench.victim import Victim

# Those of the authors' code: few steps, since every image moves the perturbation only a little.
_SEARCH_STEPS = 10
_SEARCH_CANDIDATES = 10


def aggregated(
    victim: Victim, images: Tensor, *, epsilon: float, norm: Norm, epochs: int, delta: float,
    random: Draws,
) -> Tensor:
    """The perturbation C×H×W of Moosavi-Dezfooli et al. 2017 (arXiv 1610.08401), algorithm 1.

    Ends after a pass over `images` N×C×H×W with which a share of 1 − `delta` of the predictions
    is another than without, or after `epochs` passes.
    """
    found = torch.zeros_like(images[:1])
    predictions = victim.logits(images).argmax(dim=1)
    search = DeepFool(norm="l2", steps=_SEARCH_STEPS, candidates=_SEARCH_CANDIDATES)
    alone = _one_at_a_time(victim, images)
    ahead = victim.tile(images.device, len(images))
    for _ in range(epochs):
        order, place = shuffled(random), 0
        while place < len(order):
            rows = order[place : place + ahead]
            fooled = _fooled(victim, images[rows], predictions[rows], found)
            standing = (~fooled).nonzero()[:, 0]
            if not len(standing):
                place += len(rows)
                continue
            row = rows[standing[:1]]
            step = _to_the_boundary(search, alone, shown(images[row], found), predictions[row])
            found = inside(found + step, epsilon, norm)
            place += int(standing[0]) + 1
        if float(_fooled(victim, images, predictions, found).float().mean()) >= 1 - delta:
            break
    return found[0]


def _fooled(victim: Victim, images: Tensor, predictions: Tensor, found: Tensor) -> Tensor:
    return broken(victim.logits(shown(images, found)), predictions)


def _to_the_boundary(
    search: DeepFool, victim: Victim, image: Tensor, prediction: Tensor
) -> Tensor:
    """The step 1×C×H×W that changes the prediction; zero where DeepFool finds none."""
    (nearest,) = search.climb(
        victim, image, prediction, epsilons=[math.inf], image_ids=["image"], seed=0, ladder=False
    )
    return nearest.adversarial - image


def _one_at_a_time(victim: Victim, images: Tensor) -> Victim:
    """The same victim in tiles of one row: a step is for one image, and the next one needs it."""
    alone = Victim(victim.network, rowwise=victim.rowwise, precision=victim.precision)
    alone.arrange(images[:8])
    while alone.rowwise and alone.halve_tiles(images.device) > 1:
        pass
    return alone
