"""What all detectors have in common, and the checks of what they are fitted on."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from robench.errors import UserError
from robench.freezing import frozen

BATCH_SIZE = 256


class Detector(nn.Module, ABC):
    """Pixels N×C×H×W in [0,1] to scores N: the higher, the more suspicious.

    `network` is the classifier that is watched. It is in eval mode during a pass; its mode, flags
    and buffers are as before afterwards. Where the scores have no exact gradient in the pixels,
    the subclass says what stands in for it.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @abstractmethod
    def score(self, images: Tensor) -> Tensor:
        """The scores N of N×C×H×W, with a graph; `network` is frozen meanwhile."""

    def forward(self, images: Tensor) -> Tensor:
        with frozen(self.network):
            return self.score(images)

    def scores(self, images: Tensor, *, batch_size: int = BATCH_SIZE) -> Tensor:
        """The scores N without a graph, `batch_size` images at a time."""
        with torch.no_grad():
            parts = [self(part) for part in torch.split(images, batch_size)]
        return torch.cat(parts) if parts else images.new_zeros(0)


def predictions(network: nn.Module, images: Tensor, *, batch_size: int = BATCH_SIZE) -> Tensor:
    """The classes of N×C×H×W, int64 N; one logit z stands for (0, z)."""
    with frozen(network), torch.no_grad():
        parts = [network(part) for part in torch.split(images, batch_size)]
    logits = torch.cat(parts)
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(dim=1)


def check_images(name: str, images: object, *, least: int = 1) -> Tensor:
    """`images` as at least `least` of C×H×W in [0,1]. Raises UserError."""
    if not isinstance(images, Tensor) or images.dim() != 4 or len(images) < least:
        got = list(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise UserError(f"a detector is fitted on {name} images", got=got,
                        expected=f"a tensor N×C×H×W of at least {least}")
    if not images.is_floating_point() or bool((images < 0).any() | (images > 1).any()):
        raise UserError(f"the {name} images are no pixels in [0,1]",
                        got=f"{images.dtype}, {float(images.min()):g} to {float(images.max()):g}")
    return images


def check_labels(labels: object, images: Tensor) -> Tensor:
    """`labels` as int64, one for each image. Raises UserError."""
    if (not isinstance(labels, Tensor) or labels.shape != images.shape[:1]
            or labels.is_floating_point()):
        got = list(labels.shape) if isinstance(labels, Tensor) else type(labels).__name__
        raise UserError("labels", got=got, expected=f"{len(images)} integers, one for each image")
    return labels.to(images.device).long()
