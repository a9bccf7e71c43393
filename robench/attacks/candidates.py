"""Many candidates per image in one pass, for attacks that ask often before they move.

Such passes are counted but not watched: show the victim the candidate that was chosen.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from robench.attacks.draws import Draws
from robench.attacks.query import Query

# So many candidates of an image share a pass, whatever the batch, so that its counts and random
# draws do not depend on which images are attacked with it.
_TOGETHER = 32
# And so many candidates are in memory at a time.
_ROWS = {"cpu": 256, "cuda": 1024}


def groups(count: int) -> Iterator[int]:
    """`count` candidates of an image as the sizes of the groups that share a pass."""
    for first in range(0, count, _TOGETHER):
        yield min(_TOGETHER, count - first)


def parts(victim: Query) -> tuple[Tensor, ...]:
    """The rows of `victim`, as many at a time as a group of candidates of each fits in memory.

    All at once where rows depend on their mates, who must then all be there.
    """
    device = victim.images.device
    rows = torch.arange(len(victim), device=device)
    if not victim.rowwise:
        return (rows,)
    return torch.split(rows, _ROWS.get(device.type, 1024) // _TOGETHER)


def drawn_parts(victim: Query, random: Draws) -> Iterator[tuple[Tensor, Draws]]:
    """The same parts, each with its images' random numbers."""
    together = parts(victim)
    return zip(together, random.split(map(len, together)), strict=True)


def ask(victim: Query, candidates: Tensor) -> Tensor:
    """Logits N×S×K of a group of S candidates of each image, N×S×C×H×W.

    Costs an image S forwards.
    """
    if not victim.rowwise:
        each = [victim.logits(candidates[:, place]) for place in range(candidates.shape[1])]
        return torch.stack(each, dim=1)
    logits = victim.logits(candidates.flatten(0, 1))
    victim.note_tried()
    return logits.reshape(*candidates.shape[:2], -1)
