"""A denoising auto-encoder, trained elsewhere, in front of a network."""

from __future__ import annotations

from torch import nn

from robench.defenses.denoisers import denoiser_from


def autoencoder(network: nn.Module, *, checkpoint: str | None = None) -> nn.Module:
    """`network` behind the denoising auto-encoder of the file `checkpoint`.

    See `robench.defenses.denoisers.denoiser_from`. Raises UserError without a file, for one that
    holds no such auto-encoder, and in the first pass for images that do not fit it.
    """
    return nn.Sequential(denoiser_from(checkpoint), network)
