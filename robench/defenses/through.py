"""Defenses of third parties that let no gradient through, attacked all the same (BPDA)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from robench.defenses.backward import Transform, with_gradient_of
from robench.errors import VictimError

Defense = Callable[..., nn.Module]


def with_stand_in(
    defense: Defense, network: nn.Module, *, stand_in: Transform | None = None,
    **settings: object,
) -> nn.Module:
    """`defense(network, **settings)` with a gradient that jumps over what the defense does.

    Backward pass differentiable approximation: Athalye, Carlini, Wagner 2018 (arXiv 1802.00420),
    section 4.1. The forward pass is the defense's own. In the backward pass, the pixels that it
    hands to `network` have the gradient of `stand_in(pixels)`, by default the identity. Passes
    raise VictimError where the defense hands over another number or size of images than the
    stand-in gives: it then has to state a `backward` of its own.
    """
    entrance = _Entrance(network)
    return _Through(defense(entrance, **settings), entrance, stand_in)


class _Entrance(nn.Module):
    """Where a defense hands its pixels to the network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.slope: Tensor | None = None

    def forward(self, pixels: Tensor) -> Tensor:
        if self.slope is None:
            return self.network(pixels)  # type: ignore[no-any-return]
        if pixels.shape != self.slope.shape:
            raise VictimError(
                "a defense that is not differentiable hands other images to the network than it "
                "was given", got=list(pixels.shape),
                expected=f"{list(self.slope.shape)}, or an attribute backward on the defense: "
                         "pixels to what stands in for them in the backward pass",
            )
        return self.network(with_gradient_of(self.slope, pixels))  # type: ignore[no-any-return]


class _Through(nn.Module):
    def __init__(
        self, defended: nn.Module, entrance: _Entrance, stand_in: Transform | None
    ) -> None:
        super().__init__()
        self.defended = defended
        self._entrance = [entrance]  # in a list: it is a part of `defended`
        self._stand_in = stand_in

    def forward(self, images: Tensor) -> Tensor:
        (entrance,) = self._entrance
        if not (torch.is_grad_enabled() and images.requires_grad):
            return self.defended(images)  # type: ignore[no-any-return]
        entrance.slope = images if self._stand_in is None else self._stand_in(images)
        try:
            return self.defended(images.detach())  # type: ignore[no-any-return]
        finally:
            entrance.slope = None
