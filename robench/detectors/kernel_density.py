"""Kernel density: is an image where training images of its predicted class are?"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from robench.detectors.detector import BATCH_SIZE, Detector, check_images, check_labels
from robench.detectors.features import hidden, squared_distances
from robench.errors import UserError
from robench.freezing import frozen

_FOLDS = 3
# How many images of a class take part in the choice of the bandwidth.
_TRIED = 300


class KernelDensity(Detector):
    """Minus the logarithm of the density of the last hidden layer's features.

    Feinman, Curtin, Shintre, Gardner 2017 (arXiv 1703.00410), section 4.2: the density at
    an image's features, by a Gaussian kernel over the training images whose label is the predicted
    class. `bandwidth` is the kernel's standard deviation, in units of the features. Gradients are
    exact.
    """

    def __init__(self, network: nn.Module, features: list[Tensor], bandwidth: float) -> None:
        super().__init__(network)
        self.bandwidth = bandwidth
        self.classes = len(features)
        for number, of_class in enumerate(features):
            self.register_buffer(f"features_{number}", of_class)

    @classmethod
    def fit(
        cls, network: nn.Module, images: Tensor, labels: Tensor, *,
        bandwidth: float | None = None, batch_size: int = BATCH_SIZE,
    ) -> KernelDensity:
        """A detector from clean training images N×C×H×W and their labels N.

        `bandwidth` None takes the one of 15 that makes held-out training images most likely, by
        threefold cross-validation within the classes (as the paper: by likelihood). Raises
        UserError unless there are at least six images of each class.
        """
        check_images("clean training", images, least=2 * _FOLDS)
        truth = check_labels(labels, images)
        with frozen(network), torch.no_grad():
            passes = [hidden(network, part) for part in torch.split(images, batch_size)]
        features = torch.cat([part for _, part in passes]).float()
        classes = max(passes[0][0].shape[1], 2)
        by_class = [features[truth == number] for number in range(classes)]
        for number, of_class in enumerate(by_class):
            if len(of_class) < 2 * _FOLDS:
                raise UserError(f"too few clean training images of class {number}",
                                got=len(of_class), expected=f"at least {2 * _FOLDS}")
        if bandwidth is None:
            bandwidth = _likeliest([one.double().cpu().numpy() for one in by_class])
        elif isinstance(bandwidth, bool) or not 0 < bandwidth < math.inf:
            raise UserError("bandwidth", got=bandwidth, expected="a number above 0")
        return cls(network, by_class, float(bandwidth))

    def score(self, images: Tensor) -> Tensor:
        logits, features = hidden(self.network, images)
        if logits.shape[1] == 1:  # one logit z stands for (0, z)
            logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        predicted = logits.argmax(dim=1)
        densities = torch.stack([self._log_density(features, number)
                                 for number in range(self.classes)], dim=1)
        return -densities.gather(1, predicted[:, None])[:, 0]

    def _log_density(self, features: Tensor, number: int) -> Tensor:
        known: Tensor = getattr(self, f"features_{number}")
        squares = squared_distances(features, known)
        kernel = torch.logsumexp(-squares / (2 * self.bandwidth**2), dim=1)
        dimensions = features.shape[1]
        return (kernel - math.log(len(known))
                - dimensions * math.log(math.sqrt(2 * math.pi) * self.bandwidth))


def _likeliest(by_class: list[np.ndarray]) -> float:
    """The bandwidth of the highest mean log-likelihood of held-out images of the same class."""
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.neighbors import KernelDensity as Estimator

    spread = math.sqrt(float(np.mean([one.var(axis=0).sum() for one in by_class])))
    if not spread > 0:
        raise UserError("all clean training images of a class have the same features",
                        expected="a bandwidth, or images that differ")
    candidates = spread * np.geomspace(0.01, 1.0, 15)
    folds = KFold(_FOLDS, shuffle=True, random_state=0)

    def likelihood(bandwidth: float) -> float:
        return float(np.mean([
            cross_val_score(Estimator(bandwidth=bandwidth), one[:_TRIED], cv=folds).sum()
            for one in by_class
        ]))

    return float(max(candidates, key=likelihood))
