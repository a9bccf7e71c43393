"""From a network to predicted masks, and to their scores."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from robench.errors import UserError, VictimError
from robench.freezing import frozen
from robench.segmentation.data import MaskSplit
from robench.segmentation.metrics import MaskScores, score
from robench.training.batches import to_pixels

_TILE = 16
"""Rows of one pass, always the same number, so that an image gets the same bits in any set."""


def evaluate(
    network: nn.Module, split: MaskSplit, *, num_classes: int = 2,
    device: torch.device | str = "cpu",
) -> MaskScores:
    """The scores of `network` on the clean images of `split`.

    The network is moved to `device`; its mode and buffers are as before afterwards. Raises
    UserError for masks beyond `num_classes`, VictimError as `predict`.
    """
    place = torch.device(device)
    network.to(place)
    parts = [
        predict(network, to_pixels(split.images[start:start + _TILE], place),
                num_classes=num_classes).cpu().numpy()
        for start in range(0, len(split), _TILE)
    ]
    return score(np.concatenate(parts), split.masks, split.image_ids, num_classes=num_classes)


def predict(network: nn.Module, pixels: Tensor, *, num_classes: int = 2) -> Tensor:
    """The masks, uint8 N×H×W, that `network` finds in eval mode.

    `pixels`: float32 N×C×H×W in [0,1], clean or attacked. One map of logits means class 1 where
    it is above 0; of several the largest one counts. Raises VictimError where the network gives
    another shape or values that are not finite.
    """
    if not len(pixels):
        raise UserError("there are no images to segment", expected="one image or more")
    masks = []
    with frozen(network), torch.no_grad():
        for tile in torch.split(pixels, _TILE):
            filler = tile[-1:].expand(_TILE - len(tile), *tile.shape[1:])
            logits = network(torch.cat([tile, filler]))[:len(tile)]
            logits = checked_maps(logits, tile, num_classes=num_classes)
            found = logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(dim=1)
            masks.append(found.to(torch.uint8))
    return torch.cat(masks)


def checked_maps(logits: Tensor, pixels: Tensor, *, num_classes: int) -> Tensor:
    """Finite logits of the size of `pixels`, a map per class or one for two classes.

    Raises VictimError saying what is wrong.
    """
    maps = (1, 2) if num_classes == 2 else (num_classes,)
    rows, size = len(pixels), tuple(pixels.shape[-2:])
    fits = (isinstance(logits, Tensor) and logits.dim() == 4 and len(logits) == rows
            and logits.shape[1] in maps and tuple(logits.shape[2:]) == size)
    if not fits:
        raise VictimError(
            "the network's output is not a map of logits per class",
            got=list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__,
            expected=f"{rows} × {' or '.join(map(str, maps))} × {size[0]} × {size[1]}",
        )
    if not bool(torch.isfinite(logits).all()):
        raise VictimError("the network gives NaN or infinite logits")
    return logits
