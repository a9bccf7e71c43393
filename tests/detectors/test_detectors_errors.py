"""What no detector can be fitted on, or judged by."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from torch import nn

from robench.detectors import (
    KernelDensity,
    LocalIntrinsicDimensionality,
    Mahalanobis,
    SqueezeDifference,
    evaluate,
)
from robench.errors import UserError

from .conftest import Watched

Case = Callable[[Watched], object]
KDE, MAHA = KernelDensity.fit, Mahalanobis.fit
LID, SQUEEZE = LocalIntrinsicDimensionality.fit, SqueezeDifference.fit

CASES: list[tuple[Case, str]] = [
    (lambda w: KDE(w.network, w.images[:0], w.labels[:0]), "fitted on clean training images"),
    (lambda w: MAHA(w.network, None, w.labels), "clean training images, got 'NoneType'"),
    (lambda w: SQUEEZE(w.network, w.images[0]), "clean training images, got [1, 8, 8]"),
    (lambda w: KDE(w.network, w.images * 255, w.labels), "no pixels in [0,1]"),
    (lambda w: KDE(w.network, w.images, w.labels[:5]), "labels, got [5]"),
    (lambda w: MAHA(w.network, w.images, w.labels.float()), "labels, got"),
    (lambda w: KDE(w.network, w.images[w.labels != 3], w.labels[w.labels != 3]),
     "too few clean training images of class 3, got 0"),
    (lambda w: MAHA(w.network, w.images[w.labels != 3], w.labels[w.labels != 3]),
     "no clean training image of class 3"),
    (lambda w: KDE(w.network, w.images, w.labels, bandwidth=0.0), "bandwidth, got 0.0"),
    (lambda w: MAHA(w.network, w.images, w.labels, magnitude=-1.0), "magnitude, got -1.0"),
    (lambda w: MAHA(w.network, w.images, w.labels, layers=["convolution"]),
     "unknown layer 'convolution'"),
    (lambda w: MAHA(w.network, w.images, w.labels, adversarial=w.strong[:2]), "adversarial images"),
    (lambda w: LID(w.network, w.images, adversarial=w.strong, k=1), "k, got 1"),
    (lambda w: LID(w.network, w.images, adversarial=w.strong, k=100), "fewer than references, 100"),
    (lambda w: LID(w.network, w.images[:100], adversarial=w.strong), "of at least 106"),
    (lambda w: SQUEEZE(w.network, w.images, squeezers=[]), "squeezers, got 'none'"),
    (lambda w: SQUEEZE(w.network, w.images, squeezers=[nn.MaxPool2d(2)]), "gives another shape"),
    (lambda w: KDE(nn.Flatten(), w.images, w.labels), "no linear layer"),
    (lambda w: MAHA(nn.Flatten(), w.images, w.labels), "no convolution or linear layer"),
]


@pytest.mark.parametrize(("fit", "told"), CASES)
def test_refused(fit: Case, told: str, watched: Watched) -> None:
    with pytest.raises(UserError, match=re.escape(told)):
        fit(watched)


def test_what_cannot_be_evaluated(watched: Watched) -> None:
    detector = SQUEEZE(watched.network, watched.images)
    few, truth = watched.tests[:4], watched.truth[:4]
    wrong = (watched.network(few).argmax(dim=1) + 1) % 10
    for arguments, settings, told in [
        ((few, truth, few[:2]), {}, "one for each clean image"),
        ((few, truth[:2], few), {}, "labels, got [2]"),
        ((few, wrong, few), {}, "gets no clean image right"),
        ((few, truth, few), {"false_positive_rate": 1.0}, "false_positive_rate, got 1.0"),
    ]:
        with pytest.raises(UserError, match=re.escape(told)):
            evaluate(detector, *arguments, **settings)
    assert evaluate(detector, few, truth, few).adversarial == 0


def test_a_layer_that_is_not_called(watched: Watched) -> None:
    class Spare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = watched.network, nn.Linear(3, 3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.used(images)

    with pytest.raises(UserError, match="layer 'spare' gives no tensor"):
        MAHA(Spare(), watched.images, watched.labels, layers=["spare"])
