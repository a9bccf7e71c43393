"""Contrast limited adaptive histogram equalisation of the pixels."""

from __future__ import annotations

from torch import Tensor, nn

from robench.defenses.backward import StraightThrough
from robench.defenses.checks import check_number, check_whole
from robench.defenses.gaussian_blur import GaussianBlur
from robench.errors import UserError


def clahe(
    network: nn.Module, *, clip_limit: float = 2.0, grid: int = 8, sigma: float = 1.0
) -> nn.Module:
    """`network` behind a Gaussian blur of `sigma` pixels (none for 0), then CLAHE.

    Section 3.4 and equation 5 of DRSN-TVL 2025. The backward pass of CLAHE is the identity's, that
    of the blur its own. Raises UserError for settings that are none.
    """
    equalise = StraightThrough(CLAHE(clip_limit=clip_limit, grid=grid))
    blur = [GaussianBlur(sigma)] if check_number("sigma", sigma, low=0.0) else []
    return nn.Sequential(*blur, equalise, network)


clahe.differentiable = False  # type: ignore[attr-defined]


class CLAHE(nn.Module):
    """Pixels N×C×H×W equalised in `grid`×`grid` tiles, each channel by itself; by kornia.

    `clip_limit` is the highest a histogram's bin may be, in units of its mean; 0 clips nothing.
    256 grey values are told apart. Raises UserError for images that are no larger than the grid.
    """

    def __init__(self, *, clip_limit: float, grid: int) -> None:
        super().__init__()
        self.clip_limit = check_number("clip_limit", clip_limit, low=0.0)
        self.grid = check_whole("grid", grid, low=2)

    def extra_repr(self) -> str:
        return f"clip_limit={self.clip_limit:g}, grid={self.grid}"

    def forward(self, images: Tensor) -> Tensor:
        from kornia.enhance import equalize_clahe

        height, width = images.shape[-2:]
        if min(height, width) <= self.grid:
            raise UserError("grid", got=self.grid,
                            expected=f"fewer tiles than pixels: the images are {height}×{width}")
        equalised: Tensor = equalize_clahe(images, self.clip_limit, (self.grid, self.grid))
        return equalised.clamp(0.0, 1.0)
