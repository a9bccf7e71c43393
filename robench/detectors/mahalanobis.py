"""Mahalanobis distance: is an image near the mean of some class, layer by layer?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robench.detectors.detector import BATCH_SIZE, Detector, check_images, check_labels
from robench.detectors.features import chosen_layers, outputs
from robench.detectors.weighting import Weighting
from robench.errors import UserError
from robench.freezing import frozen


class Mahalanobis(Detector):
    """The squared Mahalanobis distance to the nearest class, of one layer or weighted over many.

    Lee, Lee, Lee, Shin, NeurIPS 2018 (arXiv 1807.03888), sections 2.1 and 2.2: Gaussians of the
    classes with one covariance, on each layer's output averaged over its positions. With a
    `magnitude` above 0, images first take a step of that L∞ size towards the nearest class, in
    the last layer (equation 3); gradients pass it as if it were fixed. They are exact otherwise.
    """

    def __init__(
        self, network: nn.Module, layers: Sequence[str], gaussians: Sequence[Gaussians], *,
        weighting: Weighting | None, magnitude: float,
    ) -> None:
        super().__init__(network)
        self.layers = tuple(layers)
        self.gaussians = nn.ModuleList(gaussians)
        self.weighting = weighting
        self.magnitude = magnitude

    @classmethod
    def fit(
        cls, network: nn.Module, images: Tensor, labels: Tensor, *,
        adversarial: Tensor | None = None, layers: Sequence[str] | None = None,
        magnitude: float = 0.0, batch_size: int = BATCH_SIZE,
    ) -> Mahalanobis:
        """A detector from clean training images N×C×H×W and their labels N.

        With `adversarial` images M×C×H×W, logistic regression weighs all `layers` (by default
        every convolution and linear layer); as the fitted images are nearer to their own means
        than others are, only the second half of them is weighed and the first gives the
        Gaussians. Without, one layer counts alone: the last of `layers`, by default the last but
        one of the network. Raises UserError for images that are none, and where a class has none.
        """
        check_images("clean training", images, least=4)
        truth = check_labels(labels, images)
        if isinstance(magnitude, bool) or not 0 <= magnitude < math.inf:
            raise UserError("magnitude", got=magnitude, expected="a number of at least 0")
        names = chosen_layers(network, layers, images)
        fitted = len(images)
        if adversarial is None:
            # The paper's features are those in front of the logits.
            names = names[-1:] if layers or len(names) == 1 else names[-2:-1]
        else:
            check_images("adversarial", adversarial, least=6)
            fitted = len(images) // 2
        with frozen(network), torch.no_grad():
            classes = max(network(images[:1]).shape[1], 2)
            parts = [_pooled(network, part, names)
                     for part in torch.split(images[:fitted], batch_size)]
        gaussians = [
            Gaussians.fit(torch.cat([part[number] for part in parts]), truth[:fitted], classes)
            for number in range(len(names))
        ]
        detector = cls(network, names, gaussians, weighting=None, magnitude=magnitude)
        if adversarial is not None:
            detector.weighting = Weighting.fit(
                *(torch.cat([detector.distances(part).detach()
                             for part in torch.split(each, batch_size)])
                  for each in (images[fitted:], adversarial.to(images.device)))
            )
        return detector

    def distances(self, images: Tensor) -> Tensor:
        """The squared distances to the nearest class, N×layers, float64."""
        with frozen(self.network):
            return self._distances(self._prepared(images))

    def score(self, images: Tensor) -> Tensor:
        distances = self._distances(self._prepared(images))
        return distances[:, -1] if self.weighting is None else self.weighting(distances)

    def _distances(self, images: Tensor) -> Tensor:
        features = _pooled(self.network, images, self.layers)
        return torch.stack([
            gaussians(of_layer).amin(dim=1)
            for gaussians, of_layer in zip(self.gaussians, features, strict=True)
        ], dim=1)

    def _prepared(self, images: Tensor) -> Tensor:
        if not self.magnitude:
            return images
        with torch.enable_grad():
            leaf = images.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(self._distances(leaf)[:, -1].sum(), leaf)
        return images - self.magnitude * gradient.sign()


class Gaussians(nn.Module):
    """Features N×D to their squared Mahalanobis distances N×K to the classes, in float64."""

    means: Tensor
    precision: Tensor

    def __init__(self, means: Tensor, precision: Tensor) -> None:
        super().__init__()
        self.register_buffer("means", means)
        self.register_buffer("precision", precision)

    @classmethod
    def fit(cls, features: Tensor, labels: Tensor, classes: int) -> Gaussians:
        """The means of `classes` classes, and the inverse of the covariance they share."""
        from sklearn.covariance import EmpiricalCovariance

        exact = features.double()
        for number in range(classes):
            if not bool((labels == number).any()):
                raise UserError(f"no clean training image of class {number}",
                                expected="some of each class")
        means = torch.stack([exact[labels == number].mean(dim=0) for number in range(classes)])
        centred = (exact - means[labels]).cpu().numpy()
        precision = EmpiricalCovariance(assume_centered=True).fit(centred).precision_
        return cls(means, torch.from_numpy(precision).to(exact.device))

    def forward(self, features: Tensor) -> Tensor:
        apart = features.double()[:, None] - self.means
        return torch.einsum("nkd,de,nke->nk", apart, self.precision, apart)


def _pooled(network: nn.Module, images: Tensor, layers: Sequence[str]) -> list[Tensor]:
    """The outputs of layers, averaged over positions: N×C for each."""
    return [output.flatten(2).mean(dim=2) if output.dim() > 2 else output
            for output in outputs(network, images, layers)]
