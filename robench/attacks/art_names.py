"""Which attacks of ART there are by name, and why others of its evasion attacks are not."""

from __future__ import annotations

import re
from typing import Any, NoReturn

from robench.errors import UserError, unknown

NAMES = {
    "FastGradientMethod": "fgsm",
    "BasicIterativeMethod": "bim",
    "ProjectedGradientDescent": "pgd",
    "ProjectedGradientDescentPyTorch": "pgd",
    "MomentumIterativeMethod": "momentum-iterative",
    "AutoProjectedGradientDescent": "auto-projected-gradient-descent",
    "AutoConjugateGradient": "auto-conjugate-gradient",
    "RescalingAutoConjugateGradient": "rescaling-auto-conjugate-gradient",
    "AutoAttack": "auto-attack",
    "DeepFool": "deepfool",
    "NewtonFool": "newtonfool",
    "CarliniL2Method": "carlini-l2",
    "CarliniL0Method": "carlini-l0",
    "CarliniLInfMethod": "carlini-linf",
    "ElasticNet": "elastic-net",
    "SaliencyMapMethod": "saliency-map",
    "BoundaryAttack": "boundary",
    "HopSkipJump": "hop-skip-jump",
    "GeoDA": "geo-da",
    "SignOPTAttack": "sign-opt",
    "SquareAttack": "square",
    "SimBA": "simba",
    "ZooAttack": "zoo",
    "PixelAttack": "pixel-attack",
    "ThresholdAttack": "threshold-attack",
    "VirtualAdversarialMethod": "virtual-adversarial",
    "SpatialTransformation": "spatial-transformation",
    "ShadowAttack": "shadow",
    "CompositeAdversarialAttackPyTorch": "composite-adversarial",
    "Wasserstein": "wasserstein",
    "UniversalPerturbation": "universal-perturbation",
    "TargetedUniversalPerturbation": "targeted-universal-perturbation",
}
"""ART's classes that attack an image classifier, and what stands for them after `art/`."""

_DETECTOR = "it attacks an object detector"
_SPEECH = "it attacks a speech recogniser"
_TENSORFLOW = "it attacks a TensorFlow network"
_PATCH = "it learns a patch, pasted on at random scales and angles, that no norm bounds: see patch"
_VIDEO = "it attacks the frames of a video"

EXCLUDED = {
    "AdversarialPatch": _PATCH,
    "AdversarialPatchNumpy": _PATCH,
    "AdversarialPatchPyTorch": _PATCH,
    "AdversarialPatchTensorFlowV2": _TENSORFLOW,
    "AdversarialTexturePyTorch": "it attacks an object tracker",
    "BrendelBethgeAttack": "ART has it only where numba is installed, which it does not require",
    "CarliniWagnerASR": _SPEECH,
    "DPatch": _DETECTOR,
    "DecisionTreeAttack": "it attacks a decision tree",
    "FeatureAdversariesNumpy": "it needs a guide image and a layer of the network",
    "FeatureAdversariesPyTorch": "it needs a guide image and a layer of the network",
    "FeatureAdversariesTensorFlowV2": _TENSORFLOW,
    "FrameSaliencyAttack": _VIDEO,
    "GRAPHITEBlackbox": "it needs a target image and the geometry of a camera",
    "GRAPHITEWhiteboxPyTorch": "it needs a mask of the object and the geometry of a camera",
    "HighConfidenceLowUncertainty": "it attacks a Gaussian process",
    "ImperceptibleASR": _SPEECH,
    "ImperceptibleASRPyTorch": _SPEECH,
    "LaserAttack": "it calls a function that numpy 2 has not, and takes channels-last images only",
    "LowProFool": "it attacks rows of a table",
    "MalwareGDTensorFlow": _TENSORFLOW,
    "OverTheAirFlickeringPyTorch": _VIDEO,
    "OverloadPyTorch": _DETECTOR,
    "ProjectedGradientDescentNumpy": "art/pgd is the same attack on tensors",
    "ProjectedGradientDescentTensorFlowV2": _TENSORFLOW,
    "RobustDPatch": _DETECTOR,
    "SNAL": _DETECTOR,
}
"""ART's other evasion attacks, and what keeps each from attacking images of a classifier."""


def art_attack(*, name: str, **settings: Any) -> NoReturn:
    """The provider `art/*`: cards of their own have what fits, so here is only why not.

    Raises UserError with the reason, or the nearest name.
    """
    asked = _plain(name)
    for made_by, reason in EXCLUDED.items():
        if _plain(made_by) == asked:
            raise UserError(f"art/{name} does not fit an image classifier: {reason}")
    for made_by, own in NAMES.items():
        if _plain(made_by) == asked:
            raise UserError(f"unknown attack 'art/{name}'", nearest=f"art/{own}")
    raise unknown("attack", f"art/{name}", {f"art/{own}" for own in NAMES.values()})


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
