"""What attacks that see decisions only share: a first adversarial image, and the boundary.

Adversarial is an image that the network takes for another class than its label; with `targets`,
int64 of length N, one that it takes for its target.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robench.attacks.balls import Norm, distances
from robench.attacks.candidates import ask, drawn_parts, groups
from robench.attacks.draws import Draws
from robench.attacks.query import Query

# How many random images are tried on a clean one.
_TRIALS = 1024
# The cells of the random images: as many along each side, in turn. None: as many as pixels.
_CELLS = (None, 1, 2, 4)
# The cells along each side in which a random image covers the clean one, with a target.
_COVERED = 4


def starting_points(
    victim: Query, images: Tensor, random: Draws, targets: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(images N×C×H×W that are adversarial, bool N: where one was found); else the clean image.

    Random images are tried in groups, up to the first group with an adversarial one, of which
    the nearest in L2 counts. They have independent uniform pixels, as the papers have it, or cells
    of many pixels: a network takes most images of independent pixels for one and the same class,
    so that alone they would leave the images of this class without a start. With `targets`, half
    of them cover the clean image only in part, in cells of a random share.
    """
    asked = victim
    points, found = images.clone(), torch.zeros_like(victim.labels, dtype=torch.bool)
    rows = torch.arange(len(images), device=images.device)
    for size in groups(_TRIALS):
        for part, draws in drawn_parts(victim, random):
            view = victim.select(part)
            trials = _random_images(draws, size, images.shape[1:])
            if targets is not None:
                trials = _laid_over(view.images, trials, draws)
            fooled = is_adversarial(view, trials, _of(targets, part))
            away = (trials.double() - view.images[:, None].double()).square().sum(dim=(2, 3, 4))
            nearest = away.masked_fill(~fooled, float("inf")).argmin(dim=1)
            here, row = rows[part], torch.arange(len(part), device=images.device)
            new = fooled.any(dim=1) & ~found[here]
            points[here] = torch.where(
                new[:, None, None, None], trials[row, nearest], points[here]
            )
            found[here] |= new
        left = (~found[rows]).nonzero()[:, 0]
        if len(left) == 0:
            break
        if victim.rowwise:
            rows, victim, random = rows[left], victim.select(left), random.select(left)
            targets = _of(targets, left)
    asked.note_unstarted(~found)
    return points, found


def taken_for(logits: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
    """Which predictions are adversarial; bool N from logits N×K, or N×S from N×S×K."""
    predictions = logits.argmax(dim=-1)
    classes = labels if targets is None else targets
    hit = torch.eq(predictions, classes.reshape(-1, *[1] * (predictions.dim() - 1)))
    return ~hit if targets is None else hit


def is_adversarial(victim: Query, candidates: Tensor, targets: Tensor | None = None) -> Tensor:
    """Which of a group of candidates N×S×C×H×W are; bool N×S."""
    return taken_for(ask(victim, candidates), victim.labels, targets)


def first_adversarial(
    victim: Query, candidates: Tensor, otherwise: Tensor, targets: Tensor | None = None
) -> Tensor:
    """The first of each image's group of candidates that is; where none is, `otherwise`."""
    fooled = is_adversarial(victim, candidates, targets)
    image = torch.arange(len(candidates), device=candidates.device)
    chosen = candidates[image, fooled.int().argmax(dim=1)]
    return torch.where(fooled.any(dim=1)[:, None, None, None], chosen, otherwise)


def to_boundary(
    victim: Query, images: Tensor, points: Tensor, *, norm: Norm, halvings: int,
    targets: Tensor | None = None,
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
        fooled = taken_for(victim.logits(candidate), victim.labels, targets)[:, None, None, None]
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
        images[:, turn] = _spread(images[:, turn, :, :down, :across], height, width)
    return images


def _laid_over(clean: Tensor, images: Tensor, random: Draws) -> Tensor:
    """Of each kind of `images` N×S×C×H×W in turn one as it is, and one in some cells of `clean`."""
    count, (height, width) = images.shape[1], images.shape[3:]
    cells = random.uniform(count, 1, min(_COVERED, height), min(_COVERED, width))
    covered = _spread(cells, height, width) < random.uniform(count, 1, 1, 1)
    turn = torch.arange(count, device=images.device) // len(_CELLS) % 2 == 0
    return torch.where(covered | turn[:, None, None, None], images, clean[:, None])


def _spread(cells: Tensor, height: int, width: int) -> Tensor:
    """Images of that size from one number for each cell."""
    down, across = cells.shape[-2:]
    row = torch.arange(height, device=cells.device) * down // height
    column = torch.arange(width, device=cells.device) * across // width
    return cells[..., row, :][..., column]


def _of(targets: Tensor | None, rows: Tensor) -> Tensor | None:
    return None if targets is None else targets[rows]
