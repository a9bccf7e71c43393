"""MedRDF: noisy copies are denoised, classified, and vote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from robench.defenses.checks import check_number, check_word
from robench.defenses.denoisers import denoiser_from
from robench.defenses.gaussian_blur import GaussianBlur
from robench.defenses.median import Median
from robench.defenses.nl_means import NonLocalMeans
from robench.defenses.voting import Vote
from robench.errors import UserError

DenoiserName = Literal["median", "gaussian-blur", "nl-means", "autoencoder"]

_DENOISERS: dict[str, Callable[[float], nn.Module]] = {
    "median": lambda sigma: Median(3),
    "gaussian-blur": lambda sigma: GaussianBlur(1.0),
    # Two patches of one image differ by twice the noise's variance.
    "nl-means": lambda sigma: NonLocalMeans(search=11, patch=3, strength=2**0.5 * sigma),
}


def medrdf(
    network: nn.Module, *, sigma: float = 0.1, copies: int = 100,
    denoiser: DenoiserName = "median", checkpoint: str | None = None,
) -> nn.Module:
    """`network` behind MedRDF: `copies` of each image with Gaussian noise of standard deviation
    `sigma`, denoised, vote (Xu, Zhang, Zhang 2022, arXiv 2111.14564; Muoka et al. 2023, 3.2.1).

    `denoiser` "autoencoder" takes the file `checkpoint`, see
    `robench.defenses.denoisers.denoiser_from`. The vote is that of `robench.defenses.voting.Vote`.
    Raises UserError for settings that are none.
    """
    check_word("denoiser", denoiser, [*_DENOISERS, "autoencoder"])
    if denoiser == "autoencoder":
        denoise: nn.Module = denoiser_from(checkpoint)
    elif checkpoint is not None:
        raise UserError("checkpoint", got=checkpoint,
                        expected=f"none with denoiser '{denoiser}', or denoiser 'autoencoder'")
    else:
        denoise = _DENOISERS[denoiser](check_number("sigma", sigma, above=0.0))
    return Vote(nn.Sequential(_InRange(denoise), network), sigma=sigma, copies=copies)


medrdf.differentiable = False  # type: ignore[attr-defined]
medrdf.stochastic = True  # type: ignore[attr-defined]


class _InRange(nn.Module):
    """`denoise`, and its pixels cut to [0,1]: noise leaves it, and the network knows no others."""

    def __init__(self, denoise: nn.Module) -> None:
        super().__init__()
        self.denoise = denoise

    def forward(self, images: Tensor) -> Tensor:
        pixels: Tensor = self.denoise(images)
        return pixels.clamp(0.0, 1.0)
