"""The networks of a model under test, one for each shape it is tried on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from robench.errors import UserError
from robench.normalisation import with_normalisation
from robench.testing.core import Violation, expect, told
from robench.testing.networks import pixels
from robench.testing.passes import logits_of
from robench.testing.stated import refusal


@dataclass(frozen=True)
class Shape:
    """What a network is built for."""

    num_classes: int
    in_channels: int
    side: int

    def __str__(self) -> str:
        return f"{self.num_classes} classes, {self.in_channels}×{self.side}×{self.side}"


# Every pair of (classes, channels), (classes, size) and (channels, size) stands here once.
SHAPES = (Shape(10, 3, 32), Shape(2, 1, 32), Shape(10, 1, 64), Shape(2, 3, 64))
# For networks that are made for one size; tried where all others are declined.
LARGE_SHAPES = (Shape(10, 3, 224), Shape(2, 1, 224))

Build = Callable[[Shape, int], nn.Module]


@dataclass(frozen=True)
class Built:
    """A network as its factory made it, for one shape, and images to show it.

    Weights that start as zeros are moved, as training would: behind a last layer of zeros,
    nothing could be seen of a network.
    """

    shape: Shape
    bare: nn.Module
    images: Tensor

    @property
    def network(self) -> nn.Module:
        """The network behind the normalisation it asks for."""
        return with_normalisation(self.bare, self.shape.in_channels)

    @cached_property
    def logits(self) -> Tensor:
        """Of all images in one pass."""
        return logits_of(self.network, self.images)


def build_all(build: Build, built: list[Built]) -> str:
    """Put a network for every shape that is not declined into `built`, and say which."""
    declined: list[str] = []
    for shapes in (SHAPES, LARGE_SHAPES):
        for shape in shapes:
            try:
                bare = build(shape, 0)
            except UserError as error:
                declined.append(f"declined {shape}: {refusal(error)}")
                continue
            except Exception as error:  # a third party's code may raise anything
                raise Violation(f"for {shape}: raised {told(error)}") from error
            expect(isinstance(bare, nn.Module), type(bare).__name__, "a torch.nn.Module")
            _move_zeros(bare)
            built.append(Built(shape, bare, _images(shape)))
        if built:
            break
    expect(bool(built), "; ".join(declined), "a network for at least one shape")
    return "; ".join([", ".join(str(each.shape) for each in built), *declined])


def _images(shape: Shape) -> Tensor:
    images = pixels(4, shape.in_channels, shape.side)
    images[2], images[3, :, ::2] = 0.0, 1.0
    return images


def _move_zeros(network: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    for weight in network.parameters():
        if not bool(weight.detach().any()):
            drawn = torch.randn(weight.shape, generator=generator)
            weight.data = (0.05 * drawn).to(weight)
