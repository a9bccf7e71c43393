"""Denoising auto-encoders, trained elsewhere, for defenses."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from robench.defenses.checks import check_whole
from robench.errors import UserError
from robench.models.autoencoder import DenoisingAutoencoder
from robench.models.checkpoint import load_into, read

_FIRST = "encoder.0.0.weight"
_PREFIX = "denoiser."


class Denoiser(nn.Module):
    """Pixels N×C×H×W to denoised pixels by an `autoencoder`.

    Raises UserError for images of another number of channels, or smaller than it can take.
    """

    def __init__(self, autoencoder: DenoisingAutoencoder, *, where: str) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.channels = autoencoder.last.out_channels
        self.side = 2 ** (len(autoencoder.encoder) - 1)
        self.where = where

    def forward(self, images: Tensor) -> Tensor:
        channels, height, width = images.shape[1:]
        if channels != self.channels:
            raise UserError(f"the auto-encoder was trained for {self.channels} channels",
                            where=self.where, got=f"images of {channels}×{height}×{width}",
                            expected="one trained on images like these")
        if min(height, width) < self.side:
            raise UserError("the images are too small for the auto-encoder", where=self.where,
                            got=f"{height}×{width}", expected=f"at least {self.side}×{self.side}")
        denoised: Tensor = self.autoencoder(images)
        return denoised


def denoiser_from(checkpoint: object) -> Denoiser:
    """The denoising auto-encoder of a file.

    The file holds the tensors of a `DenoisingAutoencoder`, or of a network whose part `denoiser`
    is one, such as a stored autoencoder-resnet34 or aebs. Channels and width are read off them.
    Raises UserError for any other file.
    """
    if not isinstance(checkpoint, str) or not checkpoint:
        raise UserError("checkpoint", got=checkpoint,
                        expected="the path of a denoising auto-encoder's weights")
    path = Path(checkpoint).expanduser()
    tensors = read(path)
    parts = {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()
             if name.startswith(_PREFIX)}
    tensors = parts or tensors
    first = tensors.get(_FIRST)
    if first is None or first.dim() != 4:
        raise UserError(f"no denoising auto-encoder: the file has no '{_FIRST}'", where=str(path),
                        expected="a checkpoint of autoencoder-resnet34, aebs, or of their "
                                 "denoiser alone")
    width, channels = check_whole("width", first.shape[0], low=1), first.shape[1]
    autoencoder = DenoisingAutoencoder(channels, width=width)
    load_into(autoencoder, tensors, where=str(path))
    return Denoiser(autoencoder, where=str(path))
