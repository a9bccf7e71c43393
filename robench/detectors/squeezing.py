"""Feature squeezing: does the prediction change when the image is simplified?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robench.defenses.backward import StraightThrough
from robench.defenses.bit_depth import BitDepth
from robench.defenses.median import Median
from robench.defenses.nl_means import NonLocalMeans
from robench.detectors.detector import Detector, check_images
from robench.errors import UserError


class SqueezeDifference(Detector):
    """The largest L1 distance between the probabilities of an image and of a squeezed one.

    Xu, Evans, Qi 2018 (arXiv 1704.01155), section V: the maximum over `squeezers`, modules from
    pixels to pixels. Rounding to fewer bits has the gradient of the identity; the others' own.
    """

    def __init__(self, network: nn.Module, squeezers: Sequence[nn.Module]) -> None:
        super().__init__(network)
        self.squeezers = nn.ModuleList(squeezers)

    @classmethod
    def fit(
        cls, network: nn.Module, images: Tensor, *, squeezers: Sequence[nn.Module] | None = None
    ) -> SqueezeDifference:
        """A detector with `squeezers`, tried out on clean training images N×C×H×W.

        By default those of the paper's joint detection on ImageNet: 5 bits, a median filter (of
        3×3 pixels instead of its 2×2) and non-local means 11-3-4. Nothing is learned from the
        images: the threshold is `evaluate`'s. Raises UserError for images that are none, and for a
        squeezer that changes their shape.
        """
        check_images("clean training", images)
        chosen = [
            StraightThrough(BitDepth(5)), Median(3),
            NonLocalMeans(search=11, patch=3, strength=4 / 255),
        ] if squeezers is None else list(squeezers)
        if not chosen:
            raise UserError("squeezers", got="none", expected="at least one")
        for squeezer in chosen:
            with torch.no_grad():
                shape = squeezer(images[:1]).shape
            if shape != images[:1].shape:
                raise UserError(f"squeezer {squeezer} gives another shape", got=list(shape),
                                expected=f"{list(images[:1].shape)}")
        return cls(network, chosen)

    def score(self, images: Tensor) -> Tensor:
        before = self._probabilities(images)
        apart = [(self._probabilities(squeezer(images)) - before).abs().sum(dim=1)
                 for squeezer in self.squeezers]
        return torch.stack(apart, dim=1).amax(dim=1)

    def _probabilities(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        if logits.shape[1] == 1:  # one logit z stands for (0, z)
            logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        return torch.softmax(logits, dim=1)
