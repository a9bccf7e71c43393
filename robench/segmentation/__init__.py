"""Segmentation: networks from pixels to one map of logits per class, trained and scored on masks.

Kept apart from classification, whose matrices, attacks and outcomes know one label per image.
"""

from robench.segmentation.data import MaskDataset, MaskSplit, masks_npz
from robench.segmentation.evaluation import evaluate, predict
from robench.segmentation.losses import bce, bce_dice, soft_dice
from robench.segmentation.metrics import MaskScores, score
from robench.segmentation.training import MaskEpoch, train

__all__ = [
    "MaskDataset",
    "MaskEpoch",
    "MaskScores",
    "MaskSplit",
    "bce",
    "bce_dice",
    "evaluate",
    "masks_npz",
    "predict",
    "score",
    "soft_dice",
    "train",
]
