"""Local intrinsic dimensionality: how fast do neighbours multiply around an image?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robench.detectors.detector import BATCH_SIZE, Detector, check_images
from robench.detectors.features import chosen_layers, outputs, squared_distances
from robench.detectors.weighting import Weighting
from robench.errors import UserError
from robench.freezing import frozen

_TINY, _FAR = 1e-12, 1e30
_SAME = 1e-10
"""Squared distances below this share of an image's squared features are of the image itself."""


class LocalIntrinsicDimensionality(Detector):
    """The log odds of being adversarial, from the dimensionality in every layer.

    Ma et al., ICLR 2018 (arXiv 1801.02613), sections 3 and 4: in each of `layers`, the maximum
    likelihood estimate of LID from the `k` nearest of a minibatch of clean training images,
    `references`; then logistic regression. The minibatch is drawn once and kept, so that an
    image's score does not depend on the others it is scored with. Gradients are exact.
    """

    def __init__(
        self, network: nn.Module, layers: Sequence[str], references: Tensor, *, k: int,
    ) -> None:
        super().__init__(network)
        self.layers = tuple(layers)
        self.k = k
        self.weighting: Weighting | None = None
        self.register_buffer("references", references)

    references: Tensor

    @classmethod
    def fit(
        cls, network: nn.Module, images: Tensor, *, adversarial: Tensor, k: int = 20,
        references: int = 100, noise: bool = True, layers: Sequence[str] | None = None,
        seed: int = 0, batch_size: int = BATCH_SIZE,
    ) -> LocalIntrinsicDimensionality:
        """A detector from clean training images N×C×H×W and `adversarial` ones M×C×H×W.

        `references` of the clean ones, drawn from `seed`, are the minibatch; the others are
        weighed against the adversarial ones. With `noise` so are copies of them with Gaussian
        noise, of the mean L2 size of the difference between adversarial images and the nearest
        clean ones (the paper: noisy images count as normal, with the size of the attack's
        perturbation). `layers`: by default every convolution and linear layer. Raises UserError
        for numbers and images that do not fit.
        """
        for name, value, low in (("k", k, 2), ("references", references, 3)):
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise UserError(name, got=value, expected=f"a whole number ≥ {low}")
        if k >= references:
            raise UserError("k", got=k, expected=f"fewer than references, {references}")
        check_images("clean training", images, least=references + 6)
        wrong = check_images("adversarial", adversarial, least=6).to(images.device)
        names = chosen_layers(network, layers, images)
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(images), generator=generator).to(images.device)
        detector = cls(network, names, images[order[:references]], k=k)
        normal = images[order[references:]]
        if noise:
            size = _mean_distance(wrong, images)
            drawn = torch.randn(normal.shape, generator=generator).to(normal)
            drawn = drawn / drawn.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
            normal = torch.cat([normal, (normal + size * drawn).clamp(0.0, 1.0)])
        detector.weighting = Weighting.fit(
            *(torch.cat([detector.dimensionality(part).detach()
                         for part in torch.split(each, batch_size)]) for each in (normal, wrong))
        )
        return detector

    def dimensionality(self, images: Tensor) -> Tensor:
        """The LID estimates N×layers, float64."""
        with frozen(self.network):
            return self._dimensionality(images)

    def score(self, images: Tensor) -> Tensor:
        assert self.weighting is not None
        return self.weighting(self._dimensionality(images))

    def _dimensionality(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            known = outputs(self.network, self.references, self.layers)
        estimates = [
            lid_estimate(of_images.flatten(1), of_known.flatten(1), k=self.k)
            for of_images, of_known in zip(
                outputs(self.network, images, self.layers), known, strict=True
            )
        ]
        return torch.stack(estimates, dim=1)


def lid_estimate(features: Tensor, references: Tensor, *, k: int) -> Tensor:
    """−(mean over i ≤ k of log(r_i / r_k))⁻¹, r_i the distance to the i-th nearest reference.

    Features N×D and references R×D to estimates N (Ma et al. 2018, equation 4). A reference at
    distance zero is the image itself and does not count.
    """
    squares = squared_distances(features, references)
    # The same image gets slightly other features in another batch.
    size = features.square().sum(dim=1, keepdim=True).double()
    same = squares <= _SAME * size + _TINY
    near = squares.masked_fill(same, _FAR).topk(k, dim=1, largest=False, sorted=True).values
    logs = 0.5 * near.log()
    return -1.0 / (logs - logs[:, -1:]).mean(dim=1).clamp_max(-_TINY)


def _mean_distance(adversarial: Tensor, clean: Tensor) -> float:
    """The mean L2 distance from adversarial images to the nearest clean ones."""
    nearest = [torch.cdist(part.flatten(1), clean.flatten(1)).amin(dim=1)
               for part in torch.split(adversarial, BATCH_SIZE)]
    return float(torch.cat(nearest).mean())
