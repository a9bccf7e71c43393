"""How well a detector tells adversarial images from clean ones, with counts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from robench.detectors.detector import BATCH_SIZE, Detector, check_images, check_labels, predictions
from robench.errors import UserError
from robench.scoring.wilson import wilson


@dataclass(frozen=True)
class Detection:
    """What came of `clean` images that the network gets right, and of the `adversarial` ones made
    of them that it gets wrong.

    An image is detected where its score is above `threshold`, which lets the asked share of clean
    images be false alarms at most. `auroc` is NaN where there is nothing to detect.
    """

    auroc: float
    threshold: float
    detected: int
    adversarial: int
    false_alarms: int
    clean: int

    @property
    def true_positive_rate(self) -> float:
        """detected / adversarial."""
        return self.detected / self.adversarial if self.adversarial else math.nan

    @property
    def false_positive_rate(self) -> float:
        """false alarms / clean."""
        return self.false_alarms / self.clean

    @property
    def true_positive_interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the true-positive rate."""
        return wilson(self.detected, self.adversarial)

    @property
    def undetected(self) -> int:
        """How many adversarial images break the network and pass the detector."""
        return self.adversarial - self.detected


def evaluate(
    detector: Detector, images: Tensor, labels: Tensor, adversarial: Tensor, *,
    false_positive_rate: float = 0.05, batch_size: int = BATCH_SIZE,
) -> Detection:
    """Score clean test images N×C×H×W, with labels N, and what an attack has made of each.

    Images the network gets wrong already count on neither side, nor do attempts that do not fool
    it. `images` should be none that the detector was fitted on. Raises UserError for tensors that
    do not fit, and where no image is right.
    """
    check_images("clean test", images)
    truth = check_labels(labels, images)
    if check_images("adversarial", adversarial).shape != images.shape:
        raise UserError("adversarial images", got=list(adversarial.shape),
                        expected=f"{list(images.shape)}, one for each clean image")
    if isinstance(false_positive_rate, bool) or not 0 <= false_positive_rate < 1:
        raise UserError("false_positive_rate", got=false_positive_rate,
                        expected="a number in [0, 1)")
    right = predictions(detector.network, images, batch_size=batch_size) == truth
    broken = predictions(detector.network, adversarial, batch_size=batch_size) != truth
    if not bool(right.any()):
        raise UserError("the network gets no clean image right, so there is none to attack")
    return detection(
        detector.scores(images[right], batch_size=batch_size),
        detector.scores(adversarial[right & broken], batch_size=batch_size),
        false_positive_rate=false_positive_rate,
    )


def detection(
    clean: Tensor, adversarial: Tensor, *, false_positive_rate: float = 0.05
) -> Detection:
    """The `Detection` of scores of clean (at least one) and of adversarial images."""
    from sklearn.metrics import roc_auc_score

    ordered = clean.double().cpu().sort().values
    allowed = math.floor(false_positive_rate * len(ordered) + 1e-9)
    threshold = float(ordered[len(ordered) - 1 - allowed])
    wrong = adversarial.double().cpu()
    auroc = math.nan
    if len(wrong):
        truth = torch.cat([torch.zeros(len(ordered)), torch.ones(len(wrong))])
        auroc = float(roc_auc_score(truth.numpy(), torch.cat([ordered, wrong]).numpy()))
    return Detection(
        auroc=auroc, threshold=threshold, detected=int((wrong > threshold).sum()),
        adversarial=len(wrong), false_alarms=int((ordered > threshold).sum()), clean=len(ordered),
    )
