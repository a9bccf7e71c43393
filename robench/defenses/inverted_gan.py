"""The generator and the encoder of an InvGAN, trained elsewhere, for defenses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from robench.errors import UserError
from robench.models.checkpoint import load_into, read
from robench.models.dcgan import Canvas, Encoder, Generator, resize

_FIRST, _LATENT = "layers.1.weight", "layers.0.weight"
_CRITIC = ".parametrizations.weight.original"


class InvertedGan(nn.Module):
    """Images N×C×H×W in [0,1] to latents N×L and back, by an encoder and a generator.

    Both work on the canvas of their training. Images reach it, and what is generated reaches the
    size of the images, by the bilinear interpolation of `robench.models.dcgan.Resize`. `encode`
    raises UserError for images of another number of channels, or of a size for which the GAN
    would have another canvas.
    """

    def __init__(self, generator: Generator, encoder: Encoder, canvas: Canvas, *, channels: int,
                 where: str) -> None:
        super().__init__()
        self.generator = generator
        self.encoder = encoder
        self.canvas = canvas
        self.channels = channels
        self.where = where

    def encode(self, images: Tensor) -> Tensor:
        """E(x), N×L."""
        channels, height, width = images.shape[1:]
        if channels != self.channels or not _is_made_for(self.canvas, (height, width)):
            rows, columns = self.canvas.size
            raise UserError(
                f"the GAN was trained on images of {self.channels}×{rows}×{columns}, after their "
                "resizing", where=self.where, got=f"images of {channels}×{height}×{width}",
                expected="one trained on images like these",
            )
        shrunk: Tensor = resize((height, width), self.canvas.size).to(images)(images)
        latents: Tensor = self.encoder(shrunk)
        return latents

    def generate(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        """G(z), N×C×H×W with (H, W) = `size`."""
        images: Tensor = resize(self.canvas.size, size).to(latents)(self.generator(latents))
        return images


def inverted_gan_from(checkpoint: object) -> InvertedGan:
    """The generator and the encoder of a file.

    The file holds the tensors of a `robench.models.invgan.InvGan`, such as a stored
    invgan-resnet34; its classifier plays no part, its critic none but to tell the shape of the
    smallest map, without it taken to be square. Channels, width, latent and canvas are read off
    the tensors. The size of the training images is in none of them: all sizes that have this
    canvas are taken. Raises UserError for any other file.
    """
    if not isinstance(checkpoint, str) or not checkpoint:
        raise UserError("checkpoint", got=checkpoint, expected="the path of a trained InvGAN")
    path = Path(checkpoint).expanduser()
    tensors = read(path)
    encoding, generating = _part(tensors, "encoder."), _part(tensors, "generator.")
    for name, part, wanted, dimensions in (
        ("encoder", encoding, _FIRST, 4), ("generator", generating, _LATENT, 2),
    ):
        if wanted not in part or part[wanted].dim() != dimensions:
            raise UserError(f"no InvGAN: the file has no '{name}.{wanted}'", where=str(path),
                            expected="a checkpoint of invgan-resnet34")
    width, channels = encoding[_FIRST].shape[:2]
    canvas = _canvas(tensors, encoding, generating, where=str(path))
    latent = generating[_LATENT].shape[1]
    encoder = Encoder(canvas, in_channels=channels, latent=latent, width=width)
    generator = Generator(canvas, in_channels=channels, latent=latent, width=width)
    load_into(encoder, encoding, where=f"{path}, its encoder")
    load_into(generator, generating, where=f"{path}, its generator")
    return InvertedGan(generator, encoder, canvas, channels=channels, where=str(path))


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()
            if name.startswith(prefix)}


def _canvas(
    tensors: Mapping[str, Tensor], encoding: Mapping[str, Tensor],
    generating: Mapping[str, Tensor], *, where: str,
) -> Canvas:
    """The canvas as if the images were of its own size, so that no part resizes anything."""
    halvings = [tensor.shape[0] for tensor in encoding.values() if tensor.dim() == 4]
    doublings = len(halvings)
    places = generating[_LATENT].shape[0] // max(halvings)
    # the critic's last kernel covers the whole map, and is its only one that gives one channel
    kernels = [tensor.shape for name, tensor in _part(tensors, "critic.").items()
               if name.endswith(_CRITIC) and tensor.dim() == 4 and tensor.shape[0] == 1]
    side = round(places**0.5)
    base = (kernels[-1][2], kernels[-1][3]) if kernels else (side, side)
    if base[0] * base[1] != places:
        raise UserError(f"the InvGAN's smallest map has {places} places", where=where,
                        expected=f"{base[0]}×{base[1]}, as its critic has" if kernels else
                                 "a square, in a file without the critic")
    size = base[0] << doublings, base[1] << doublings
    return Canvas(size, base, doublings)


def _is_made_for(canvas: Canvas, size: tuple[int, int]) -> bool:
    """Whether images of `size` have the canvas, at any resolution that could have led to it."""
    longest = max(canvas.size)
    for resolution in range(longest, longest - 2**canvas.doublings, -1):
        try:
            made = Canvas.of(size, resolution=resolution)
        except UserError:
            continue
        if (made.base, made.doublings) == (canvas.base, canvas.doublings):
            return True
    return False
