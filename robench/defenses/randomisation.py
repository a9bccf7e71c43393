"""Random resizing and padding."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from robench.defenses.checks import check_number


def randomisation(network: nn.Module, *, scale: float = 331 / 299) -> nn.Module:
    """`network` behind random resizing and padding: see `ResizeAndPad`.

    Xie, Wang, Zhang, Ren, Yuille 2018 (arXiv 1711.01991), section 3: from 299 to 331 pixels. The
    network sees larger images, so it must take them. Raises UserError for a `scale` of at most 1.
    """
    return nn.Sequential(ResizeAndPad(scale), network)


randomisation.stochastic = True  # type: ignore[attr-defined]


class ResizeAndPad(nn.Module):
    """Pixels N×C×H×W to N×C×H'×W', H' and W' being `scale` times H and W, rounded
    (one pixel more at least).

    Each image is enlarged to a random size from H×W up to one pixel less than H'×W', by its
    nearest neighbours, and put at a random place of a black canvas. Drawn for each image from
    torch's global generator on the CPU.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = check_number("scale", scale, above=1.0)

    def extra_repr(self) -> str:
        return f"scale={self.scale:g}"

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        canvas = self._enlarged(height), self._enlarged(width)
        draws = torch.rand(len(images), 3, device="cpu").tolist()
        if not draws:
            return images.new_zeros(0, images.shape[1], *canvas)
        return torch.cat([
            _placed(image[None], canvas, draw)
            for image, draw in zip(images, draws, strict=True)
        ])

    def _enlarged(self, side: int) -> int:
        return max(round(side * self.scale), side + 1)


def _placed(image: Tensor, canvas: tuple[int, int], draw: list[float]) -> Tensor:
    """`image` 1×C×H×W at the size and the place that the three numbers in [0,1) say."""
    sizes = [side + int(draw[0] * (whole - side))
             for side, whole in zip(image.shape[-2:], canvas, strict=True)]
    resized = functional.interpolate(image, size=sizes, mode="nearest")
    top, left = (int(number * (whole - size + 1))
                 for number, whole, size in zip(draw[1:], canvas, sizes, strict=True))
    below, beside = canvas[0] - sizes[0] - top, canvas[1] - sizes[1] - left
    return functional.pad(resized, (left, beside, top, below))
