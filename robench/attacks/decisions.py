"""What attacks that see decisions only share: a first adversarial image, and the boundary."""

from __future__ import annotations

import torch
from torch import Tensor

from robench.attacks.balls import Norm, distances
from robench.attacks.candidates import ask, groups, parts
from robench.attacks.draws import Draws
from robench.attacks.losses import broken
from robench.attacks.query import Query

# How many random images are tried on a clean one.
_TRIALS = 1024
# The cells of the random images: as many along each side, in turn. None: as many as pixels.
_CELLS = (None, 1, 2, 4)


def starting_points(victim: Query, images: Tensor, random: Draws) -> tuple[Tensor, Tensor]:
    """(images N×C×H×W that are adversarial, bool N: where one was found); else the clean image.

    Random images are tried in groups, up to the first group with an adversarial one, of which
    the nearest in L2 counts. They have independent uniform pixels, as the papers have it, or cells
    of many pixels: a network takes most images of independent pixels for one and the same class,
    so that alone they would leave the images of this class without a start.
    """
    points, found = images.clone(), torch.zeros_like(victim.labels, dtype=torch.bool)
    rows = torch.arange(len(images), device=images.device)
    for size in groups(_TRIALS):
        for part in parts(victim):
            view = victim.select(part)
            trials = _random_images(random.select(part), size, images.shape[1:])
            fooled = is_adversarial(view, trials)
            away = (trials.double() - view.images[:, None].double()).square().sum(dim=(2, 3, 4))
            nearest = away.masked_fill(~fooled, float("inf")).argmin(dim=1)
            new = fooled.any(dim=1) & ~found[rows[part]]
            points[rows[part[new]]] = trials[new, nearest[new]]
            found[rows[part[new]]] = True
        left = (~found[rows]).nonzero()[:, 0]
        if len(left) == 0:
            break
        if victim.rowwise:
            rows, victim, random = rows[left], victim.select(left), random.select(left)
    return points, found


def is_adversarial(victim: Query, candidates: Tensor) -> Tensor:
    """Which of a group of candidates N×S×C×H×W are; bool N×S."""
    logits = ask(victim, candidates)
    return torch.ne(logits.argmax(dim=2), victim.labels[:, None])


def first_adversarial(victim: Query, candidates: Tensor, otherwise: Tensor) -> Tensor:
    """The first of each image's group of candidates that is; where none is, `otherwise`."""
    fooled = is_adversarial(victim, candidates)
    image = torch.arange(len(candidates), device=candidates.device)
    chosen = candidates[image, fooled.int().argmax(dim=1)]
    return torch.where(fooled.any(dim=1)[:, None, None, None], chosen, otherwise)


def to_boundary(
    victim: Query, images: Tensor, points: Tensor, *, norm: Norm, halvings: int
) -> Tensor:
    """The nearest adversarial image found by bisection between `images` and adversarial `points`.

    In L2 on the line between them, in L∞ on the path of the points cut with smaller and smaller
    balls.
    """
    best, delta = points, points - images
    low = torch.zeros_like(images[:, :1, :1, :1])
    high = torch.ones_like(low)
    if norm == "linf":
        high = distances(images, points, "linf")[:, None, None, None]
    for _ in range(halvings):
        middle = (low + high) / 2
        moved = middle * delta if norm == "l2" else delta.clamp(-middle, middle)
        candidate = (images + moved).clamp(0.0, 1.0)
        fooled = broken(victim.logits(candidate), victim.labels)[:, None, None, None]
        best = torch.where(fooled, candidate, best)
        low, high = torch.where(fooled, low, middle), torch.where(fooled, middle, high)
    return best


def _random_images(random: Draws, count: int, shape: torch.Size) -> Tensor:
    """Random images N×count×shape, the kinds taking turns."""
    height, width = shape[1:]
    images = random.uniform(count, *shape)
    for kind, cells in enumerate(_CELLS):
        turn = torch.arange(kind, count, len(_CELLS), device=images.device)
        if cells is None or len(turn) == 0:
            continue
        down, across = min(cells, height), min(cells, width)
        colours = images[:, turn, :, :down, :across]
        row = torch.arange(height, device=images.device) * down // height
        column = torch.arange(width, device=images.device) * across // width
        images[:, turn] = colours[:, :, :, row][..., column]
    return images
