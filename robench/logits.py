"""What a network must give: a table of finite logits."""

from __future__ import annotations

import torch
from torch import Tensor

from robench.errors import VictimError


def checked(logits: Tensor, *, rows: int, num_classes: int | None = None) -> Tensor:
    """Logits as N×K float32, K ≥ 2, or the VictimError that says what is wrong with them."""
    logits = shaped(logits, rows=rows)
    if num_classes is not None and logits.shape[1] != num_classes:
        raise VictimError("the network gives the wrong number of logits",
                          got=logits.shape[1], expected=f"{num_classes}, one for each class")
    finite = torch.isfinite(logits).all(dim=1)
    if not bool(finite.all()):
        raise not_finite(int((~finite).sum()), of=len(finite))
    return logits


def shaped(logits: Tensor, *, rows: int) -> Tensor:
    """Logits as N×K float32, K ≥ 2, one logit z as (0, z); VictimError for another shape."""
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != rows:
        shape = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise VictimError("the network's output is not a table of logits", got=shape,
                          expected=f"{rows} rows × classes")
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    return logits.float()


def not_finite(bad: int, *, of: int | None = None, what: str = "logits") -> VictimError:
    """The error of a network that gives `bad` images, `of` so many, no finite logits (or what
    else)."""
    told = f"{bad}" if of is None else f"{bad} of {of}"
    return VictimError(f"the network gives NaN or infinite {what} for {told} images")
