"""Generator, critic and encoder of strided convolutions, after DCGAN (Radford et al. 2016)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from robench.errors import UserError

_USUAL_MAP = 4
_WIDEST = 8  # times `width`


@dataclass(frozen=True)
class Canvas:
    """The size a GAN works at: the `base` map (height, width), doubled `doublings` times."""

    image_size: tuple[int, int]
    base: tuple[int, int]
    doublings: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width at which images are generated, before they become `image_size`."""
        return self.base[0] << self.doublings, self.base[1] << self.doublings

    @classmethod
    def of(cls, image_size: tuple[int, int], *, resolution: int) -> Canvas:
        """The canvas for images whose longer side is shrunk to `resolution` pixels.

        The shorter side of its base map is 3 to 6, as near to DCGAN's 4 as doublings allow, and
        neither side of the canvas is shorter than the image's. Raises UserError naming
        `resolution` or `image_size` where there is none.
        """
        _check_whole("resolution", resolution, low=2 * _USUAL_MAP)
        shrink = min(1.0, resolution / max(image_size))
        sides = [side * shrink for side in image_size]
        if min(sides) < 2 * _USUAL_MAP:
            raise UserError(
                "image_size", got=image_size,
                expected=f"at least {2 * _USUAL_MAP} pixels on the shorter side, after the "
                f"longer one is shrunk to resolution = {resolution}",
            )
        doublings = round(math.log2(min(sides) / _USUAL_MAP))
        height, width = (math.ceil(side / 2**doublings) for side in sides)
        return cls(image_size, (height, width), doublings)

    def channels(self, width: int) -> list[int]:
        """Channels of the maps, the largest map first: `width`, doubled up to 8 times it."""
        return [min(2**level, _WIDEST) * width for level in range(self.doublings)]


class Generator(nn.Module):
    """Latents N×`latent` to pixels N×`in_channels`×H×W in [0,1].

    A linear layer to the base map, then 4×4 transposed convolutions of stride 2, with BatchNorm
    and ReLU after all but the last, and a sigmoid.
    """

    def __init__(self, canvas: Canvas, *, in_channels: int, latent: int, width: int) -> None:
        super().__init__()
        _check_whole("latent", latent, low=1)
        _check_whole("width", width, low=1)
        channels = canvas.channels(width)[::-1]
        height, breadth = canvas.base
        layers: list[nn.Module] = [
            nn.Linear(latent, channels[0] * height * breadth),
            nn.Unflatten(1, (channels[0], height, breadth)),
        ]
        for before, after in zip(channels, [*channels[1:], in_channels], strict=True):
            layers += [nn.BatchNorm2d(before), nn.ReLU(),
                       nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)]
        self.latent = latent
        self.layers = nn.Sequential(*layers, nn.Sigmoid(), resize(canvas.size, canvas.image_size))
        _draw(self)

    def forward(self, latents: Tensor) -> Tensor:
        images: Tensor = self.layers(latents)
        return images


class Encoder(nn.Module):
    """Pixels N×`in_channels`×H×W in [0,1] to latents N×`latent`.

    4×4 convolutions of stride 2 with ReLU, and a linear layer; no BatchNorm, as in the authors'
    code: what it learns from generated images is used on real ones.
    """

    def __init__(self, canvas: Canvas, *, in_channels: int, latent: int, width: int) -> None:
        super().__init__()
        channels = canvas.channels(width)
        layers: list[nn.Module] = [resize(canvas.image_size, canvas.size)]
        for before, after in zip([in_channels, *channels], channels, strict=False):
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.ReLU()]
        height, breadth = canvas.base
        self.layers = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(channels[-1] * height * breadth, latent)
        )
        _draw(self)

    def forward(self, images: Tensor) -> Tensor:
        latents: Tensor = self.layers(2.0 * images - 1.0)
        return latents


class Critic(nn.Module):
    """Pixels N×`in_channels`×H×W in [0,1] to one score each, N; high for what looks real.

    4×4 convolutions of stride 2 with leaky ReLU of slope 0.2 and a linear layer. With `spectral`
    all have spectral normalisation (Miyato et al. 2018, arXiv 1802.05957), one power iteration
    for each pass in train mode and none in eval mode.
    """

    def __init__(
        self, canvas: Canvas, *, in_channels: int, width: int, spectral: bool = True
    ) -> None:
        super().__init__()
        channels = canvas.channels(width)
        normalised = spectral_norm if spectral else _as_it_is
        layers: list[nn.Module] = [resize(canvas.image_size, canvas.size)]
        for before, after in zip([in_channels, *channels], channels, strict=False):
            halving = _CriticConvolution(before, after, (4, 4), stride=2, padding=1)
            layers += [normalised(halving), nn.LeakyReLU(0.2)]
        whole_map = _CriticConvolution(channels[-1], 1, canvas.base, stride=1, padding=0)
        self.layers = nn.Sequential(*layers, normalised(whole_map), nn.Flatten(0))

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.layers(2.0 * images - 1.0)
        return scores


class Resize(nn.Module):
    """N×C×H×W at the size `source` to `target`, bilinear, antialiased where it shrinks.

    Bilinear interpolation is linear and separable, so it is a product with one matrix for each
    side. Its gradient on a GPU is then the same every time, which that of
    `torch.nn.functional.interpolate` is not.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, source: tuple[int, int], target: tuple[int, int]) -> None:
        super().__init__()
        for name, before, after in zip(("rows", "columns"), source, target, strict=True):
            self.register_buffer(name, _weights(before, after), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.rows @ images @ self.columns.T


def resize(source: tuple[int, int], target: tuple[int, int]) -> nn.Module:
    """A `Resize`, or nothing where the sizes are the same."""
    return nn.Identity() if source == target else Resize(source, target)


class _CriticConvolution(nn.Module):
    # No nn.Conv2d: pruning takes those, and the critic is no part of what is pruned or attacked.
    def __init__(
        self, before: int, after: int, kernel: tuple[int, int], *, stride: int, padding: int
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(after, before, *kernel))
        self.bias = nn.Parameter(torch.zeros(after))
        self.stride, self.padding = stride, padding
        nn.init.xavier_uniform_(self.weight)

    def forward(self, maps: Tensor) -> Tensor:
        return functional.conv2d(maps, self.weight, self.bias, self.stride, self.padding)


def _as_it_is(layer: nn.Module) -> nn.Module:
    return layer


def _weights(before: int, after: int) -> Tensor:
    """The matrix `after`×`before` of a bilinear interpolation along one side."""
    unit = torch.eye(before)[None, None]
    return functional.interpolate(unit, (after, before), mode="bilinear", antialias=True)[0, 0]


def _draw(network: nn.Module) -> None:
    """First weights as in the authors' code: uniform after Glorot and Bengio, biases zero."""
    for layer in network.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _check_whole(name: str, value: object, *, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise UserError(name, got=value, expected=f"a whole number ≥ {low}")
