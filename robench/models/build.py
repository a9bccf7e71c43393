"""Networks from pixels to logits, built for a data set, and tried before anything is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from robench.errors import UserError, VictimError
from robench.freezing import frozen
from robench.logits import checked
from robench.models.checkpoint import load_into, read
from robench.normalisation import with_normalisation


def build(
    factory: Callable[..., nn.Module],
    *,
    num_classes: int,
    in_channels: int,
    image_size: tuple[int, int],
    settings: Mapping[str, Any],
    seed: int = 0,
    checkpoint: Path | None = None,
) -> nn.Module:
    """The network of `factory`, normalisation inside, its first weights drawn from `seed`.

    A `checkpoint` is one of the bare network, or one that robench stored. The caller's random
    state is left as it was. Raises UserError for unfit settings and checkpoints.
    """
    network = bare(
        factory, num_classes=num_classes, in_channels=in_channels, image_size=image_size,
        settings=settings, seed=seed,
    )
    if checkpoint is None:
        return with_normalisation(network, in_channels)
    weights = read(checkpoint)
    normalised = with_normalisation(network, in_channels)
    own = set(weights) == set(normalised.state_dict())
    load_into(normalised if own else network, weights, where=str(checkpoint))
    return normalised


def bare(
    factory: Callable[..., nn.Module],
    *,
    num_classes: int,
    in_channels: int,
    image_size: tuple[int, int],
    settings: Mapping[str, Any],
    seed: int = 0,
) -> nn.Module:
    """The network as its factory makes it, without normalisation in front."""
    for name, value in (("num_classes", num_classes), ("in_channels", in_channels),
                        ("image_size", image_size[0]), ("image_size", image_size[1])):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(name, got=value, expected="a whole number ≥ 1")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            network = factory(
                num_classes=num_classes, in_channels=in_channels, image_size=image_size,
                **settings,
            )
        except (TypeError, ValueError) as error:
            raise UserError(f"the model cannot be built: {error}") from error
    if not isinstance(network, nn.Module):
        raise VictimError("the factory gives no torch.nn.Module", got=type(network).__name__)
    return network


def try_out(
    network: nn.Module, *, num_classes: int, in_channels: int, image_size: tuple[int, int]
) -> None:
    """One pass over two random images in eval mode. Raises VictimError saying what is wrong.

    The caller's random state is left as it was.
    """
    images = torch.rand(
        2, in_channels, *image_size, generator=torch.Generator().manual_seed(0)
    )
    with frozen(network), torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            logits = network(images)
        except (RuntimeError, ValueError, IndexError, AssertionError, TypeError) as error:
            first = str(error).partition("\n")[0]
            raise VictimError(
                f"the model fails on images of {in_channels}×{image_size[0]}×{image_size[1]}: "
                f"{first}"
            ) from error
        checked(logits, rows=2, num_classes=num_classes)
