"""Detectors of adversarial images: fitted on clean ones, they give each image a score.

    detector = KernelDensity.fit(network, images, labels)
    plain = robench.attack("pgd")(network, tests, truth, epsilons=[0.03])[0].adversarial
    evading = EvadingPGD(detector)(tests, truth, epsilon=0.03)
    evaluate(detector, tests, truth, plain), evaluate(detector, tests, truth, evading)

From Python; a matrix has no detectors. An attack that knows of no detector says nothing about
one: the second number is the one to quote (Carlini & Wagner 2017, arXiv 1705.07263).
"""

from __future__ import annotations

from robench.detectors.adaptive import EvadingPGD
from robench.detectors.detector import Detector
from robench.detectors.evaluation import Detection, evaluate
from robench.detectors.kernel_density import KernelDensity
from robench.detectors.lid import LocalIntrinsicDimensionality
from robench.detectors.mahalanobis import Mahalanobis
from robench.detectors.squeezing import SqueezeDifference

__all__ = ["Detection", "Detector", "EvadingPGD", "KernelDensity", "LocalIntrinsicDimensionality",
           "Mahalanobis", "SqueezeDifference", "evaluate"]
