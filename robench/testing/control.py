"""The control of the breakable networks: random search, in every way that `noise` knows."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from robench.attacks.balls import PROJECTED, Norm
from robench.attacks.noise import KINDS as NOISES
from robench.attacks.noise import Kind as NoiseKind
from robench.attacks.noise import Noise
from robench.freezing import frozen
from robench.testing.breakable import Kind, breakable
from robench.testing.networks import Task
from robench.victim import Victim

DRAWS = 200
_CLASSES = 2  # of further ones, that are never predicted, nothing depends


@cache
def control(norm: Norm, *, kind: Kind) -> str | None:
    """What random search breaks of a breakable network: None, or the first noise that does."""
    task = breakable(norm, classes=_CLASSES, kind=kind)
    for noise in NOISES:
        broken = chance(task, norm, noise)
        if broken:
            return f"{noise} noise breaks {broken} of {len(task.images)} images in {DRAWS} draws"
    return None


def chance(task: Task, norm: Norm, noise: NoiseKind, *, draws: int = DRAWS, seed: int = 0) -> int:
    """How many images of a task a kind of noise breaks at its epsilon in so many draws each.

    In L0, where `noise` has no ball, as many pixels as fit take random values, half of the draws
    at random places and half in a square.
    """
    images, labels = task.images.repeat(draws, 1, 1, 1), task.labels.repeat(draws)
    if norm in PROJECTED:
        (result,) = Noise(norm=norm, kind=noise)(
            task.network, images, labels, epsilons=[task.epsilon], seed=seed,
            image_ids=[str(draw) for draw in range(len(images))],
        )
        wrong = result.success
    else:
        candidates = _repainted(images, int(task.epsilon), noise, seed)
        victim = Victim(task.network)
        with frozen(victim):
            wrong = torch.ne(victim.logits(candidates).argmax(dim=1), labels)
    return int(wrong.reshape(draws, -1).any(dim=0).sum())


def _repainted(images: Tensor, count: int, noise: NoiseKind, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    rows, _, height, width = images.shape
    uniform = torch.rand(images.shape, generator=generator)
    normal = torch.randn(images.shape, generator=generator)
    values = {
        "uniform": uniform, "gaussian": images + normal, "speckle": images * (1 + normal),
        "salt-and-pepper": (uniform > 0.5).float(),
    }[noise].clamp(0.0, 1.0)
    order = torch.rand(rows, height * width, generator=generator).argsort(dim=1).argsort(dim=1)
    scattered = (order < count).reshape(rows, 1, height, width)
    side = int(count**0.5)
    corner = (torch.rand(rows, 2, generator=generator) * (height - side + 1)).long()
    place = torch.arange(height)
    inside = (place >= corner[..., None]) & (place < corner[..., None] + side)
    square = inside[:, 0, :, None] & inside[:, 1, None, :]
    squares = (torch.arange(rows) % 2 == 1)[:, None, None, None]
    return torch.where(torch.where(squares, square[:, None], scattered), values, images)
