"""Sizes of images that attacks of ART take; others are refused before the first pass."""

from __future__ import annotations

import math

from torch import Tensor

from robench.attacks.balls import Norm

_SHARE = 0.8
"""What share of the image ART's first square covers, unless it is told another."""


def check_sides_alike(name: str, images: Tensor, why: str) -> None:
    """Raise ValueError unless `images` N×C×H×W are square."""
    height, width = images.shape[2:]
    if height != width:
        raise ValueError(f"{name}: got images of {sized(images)} pixels, expected square ones: "
                         f"{why}")


def check_room_for_squares(
    name: str, images: Tensor, norm: Norm, *, p_init: float | None = None
) -> None:
    """Raise ValueError unless ART's SquareAttack finds room for its squares in `images` N×C×H×W.

    The first square covers `p_init` of the image, and must be smaller than each side. In L2 the
    search starts from five tiles each way, which are cut to a fifth of the height, and would be
    empty in small images. `p_init` is None where it is ART's own and no setting.
    """
    height, width = images.shape[2:]
    if norm == "l2" and min(height, width) < 10:
        raise ValueError(f"norm: got l2 for images of {sized(images)} pixels, expected linf, or "
                         f"sides of at least 10: {name} divides by the empty halves of small tiles")
    tiles = 5 * (height // 5)
    if norm == "l2" and width < tiles:
        raise ValueError(f"{name}: got images of {sized(images)} pixels, expected a width of at "
                         f"least {tiles}, that of five tiles as high as a fifth of the image")
    share = _SHARE if p_init is None else p_init
    side = max(round(math.sqrt(share * height * width)), 3 if norm == "l2" else 1)
    if norm == "l2" and side % 2 == 0:
        side += 1
    if side >= min(height, width):
        lower = "" if p_init is None else ": lower p_init"
        raise ValueError(f"{name}: got images of {sized(images)} pixels, expected both sides "
                         f"longer than {side}, that of the first square, which covers a share of "
                         f"{share:g} of the image{lower}")


def sized(images: Tensor) -> str:
    """Height and width as an error tells them."""
    return "×".join(map(str, images.shape[2:]))
