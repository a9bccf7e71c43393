"""Dice and IoU of masks: a row per image, and the means over them. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from robench.errors import UserError

_RESAMPLES = 2000


@dataclass(frozen=True, eq=False)
class MaskScores:
    """What was measured, a row per image, and what follows from it.

    `images` has the columns `image_id, dice, iou` and, for each class k, the numbers of pixels
    `truth_k, predicted_k, overlap_k`. For one class of one image, IoU = overlap / (truth +
    predicted − overlap) and Dice = 2 overlap / (truth + predicted); both are 1 where the class
    is neither there nor predicted, and 0 where it is only one of these. An image's `dice` and
    `iou` are means over the classes 1..K-1: the foreground of a binary mask.
    """

    images: pd.DataFrame

    @property
    def n(self) -> int:
        """How many images."""
        return len(self.images)

    @property
    def dice(self) -> float:
        """Mean over images of the foreground's Dice."""
        return float(self.images["dice"].mean())

    @property
    def iou(self) -> float:
        """Mean over images of the foreground's IoU."""
        return float(self.images["iou"].mean())

    @property
    def class_mean_iou(self) -> float:
        """Mean over classes, the background included, of the IoU of all images' pixels together.

        Classes that are nowhere, in truth or prediction, are left out.
        """
        kinds = ("truth", "predicted", "overlap")
        truth, predicted, overlap = (
            self.images.filter(regex=rf"^{kind}_\d+$").sum().to_numpy(np.float64) for kind in kinds
        )
        union = truth + predicted - overlap
        return float((overlap[union > 0] / union[union > 0]).mean())

    def interval(self, column: str) -> tuple[float, float]:
        """95 % interval of the mean of `dice` or `iou`: 2,000 bootstrap samples of the images."""
        values = self.images[column].to_numpy(np.float64)
        random = np.random.default_rng(0)
        means = [values[random.integers(0, self.n, self.n)].mean() for _ in range(_RESAMPLES)]
        low, high = np.quantile(means, [0.025, 0.975])
        return float(low), float(high)

    def summary(self) -> dict[str, float]:
        """`n, dice, dice_low, dice_high, iou, iou_low, iou_high, class_mean_iou`."""
        dice, iou = self.interval("dice"), self.interval("iou")
        return {
            "n": self.n,
            "dice": self.dice, "dice_low": dice[0], "dice_high": dice[1],
            "iou": self.iou, "iou_low": iou[0], "iou_high": iou[1],
            "class_mean_iou": self.class_mean_iou,
        }


def score(
    predicted: NDArray[Any], truth: NDArray[Any], image_ids: NDArray[np.str_], *,
    num_classes: int = 2,
) -> MaskScores:
    """Compare masks of class numbers 0..`num_classes`-1, both N×H×W, image by image.

    Raises UserError where shapes differ or a number is no class.
    """
    if predicted.shape != truth.shape or truth.ndim != 3 or len(image_ids) != len(truth):
        raise UserError(
            "predicted masks, true masks and image ids do not fit together",
            got=f"{predicted.shape}, {truth.shape} and {len(image_ids)} ids",
            expected="N×H×W, N×H×W and N",
        )
    if not len(truth):
        raise UserError("there are no masks to score", expected="one image or more")
    for name, masks in (("predicted", predicted), ("true", truth)):
        if masks.dtype.kind not in "iub" or masks.max() >= num_classes or masks.min() < 0:
            raise UserError(
                f"a {name} mask holds a number that is no class",
                got=f"{masks.dtype}, {masks.min()} to {masks.max()}",
                expected=f"whole numbers 0..{num_classes - 1}",
            )
    columns: dict[str, NDArray[np.int64]] = {}
    dice, iou = [], []
    for number in range(num_classes):
        here, there = truth == number, predicted == number
        present, found, both = (
            pixels.sum(axis=(1, 2), dtype=np.int64) for pixels in (here, there, here & there)
        )
        columns |= {f"truth_{number}": present, f"predicted_{number}": found,
                    f"overlap_{number}": both}
        dice.append(_share(2 * both, present + found))
        iou.append(_share(both, present + found - both))
    return MaskScores(pd.DataFrame({
        "image_id": image_ids,
        "dice": np.mean(dice[1:], axis=0),
        "iou": np.mean(iou[1:], axis=0),
        **columns,
    }))


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """`part` / `whole`, 1 where both are empty."""
    return np.where(whole == 0, 1.0, part / np.maximum(whole, 1))
