"""A network, images, and three defenses that mask gradients and protect from nothing.

Images are bright or dark. The network looks at the left half three times as hard as at the right
one, which it takes the wrong way round. `mirrored` blanks the left half and turns the right one
round: both networks tell bright from dark, but what breaks the one strengthens the other. The
defenses hide the gradient behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint

import numpy as np
import torch
from torch import Tensor, nn

import robench
from robench.registry.plugins import Plugin

SIDE = 8


class Halves(nn.Module):
    """Logits (−s, s) with s = 30·(left − ½) − 10·(right − ½), of the mean of each half."""

    def forward(self, images: Tensor) -> Tensor:
        left, right = images.flatten(0, 1).split(SIDE // 2, dim=2)
        score = 30 * (left.mean(dim=(1, 2)) - 0.5) - 10 * (right.mean(dim=(1, 2)) - 0.5)
        return torch.stack([-score, score], dim=1)


def halves(*, num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    """A network that is not trained."""
    network = Halves()
    network.register_buffer("nothing", torch.zeros(1))
    return network


def shades(*, image_size: int | None = None) -> robench.Dataset:
    """Dark and bright images with a little noise."""
    generator = np.random.default_rng(0)

    def some(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count) % 2
        level = np.where(labels, 0.6, 0.4)[:, None, None, None]
        noise = generator.normal(0, 0.01, (count, SIDE, SIDE, 1))
        return np.clip(255 * (level + noise), 0, 255).astype(np.uint8), labels

    splits = {"train": some(8), "test": some(40)}
    return robench.Dataset.from_arrays(
        np.concatenate([splits[name][0] for name in splits]),
        np.concatenate([splits[name][1] for name in splits]), class_names=["dark", "bright"],
        split=["train"] * 8 + ["test"] * 40,
    )


def mirrored(pixels: Tensor) -> Tensor:
    left, right = pixels.split(SIDE // 2, dim=3)
    return torch.cat([torch.full_like(left, 0.5), 1 - right], dim=3)


class Inside(nn.Module):
    def __init__(self, network: nn.Module, pixels: Callable[[Tensor], Tensor],
                 scale: float = 1.0) -> None:
        super().__init__()
        self.network, self.pixels, self.scale = network, pixels, scale

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(self.pixels(images))
        return self.scale * logits


def hard_quantisation(network: nn.Module) -> nn.Module:
    return Inside(network, lambda images: (mirrored(images) * 20).round() / 20)


def huge_logits(network: nn.Module) -> nn.Module:
    return Inside(network, mirrored, scale=1e6)


def sign_flip(network: nn.Module) -> nn.Module:
    """In two passes of five the gradient points the wrong way."""

    def flipped(images: Tensor) -> Tensor:
        pixels = mirrored(images)
        sign = 1.0 if float(torch.rand(())) < 0.6 else -1.0
        return pixels.detach() + sign * (pixels - pixels.detach())

    return Inside(network, flipped)


hard_quantisation.differentiable = False  # type: ignore[attr-defined]
hard_quantisation.backward = mirrored  # type: ignore[attr-defined]
sign_flip.stochastic = True  # type: ignore[attr-defined]
FAKES = ("hard-quantisation", "huge-logits", "sign-flip")


def plugins() -> list[Plugin]:
    """All of it, as the entry points of an installed package."""
    things = {("model", "halves"): "halves", ("dataset", "shades"): "shades",
              **{("defense", name): name.replace("-", "_") for name in FAKES}}
    return [
        Plugin(kind, name, "masks", "1", EntryPoint(name, f"{__name__}:{value}",
                                                    f"robench.{kind}s"))
        for (kind, name), value in things.items()
    ]
