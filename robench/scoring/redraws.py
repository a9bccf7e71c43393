"""Victims that draw random numbers: what one draw gets right under attack, with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from robench.scoring.wilson import score_interval
from robench.scoring.worst_case import Columns

COLUMN = "draws_wrong"


@dataclass(frozen=True)
class OneDraw:
    """The share of images that one draw gets right, of `n` images asked `draws` times each.

    `low` and `high` are the ends of a 95 % interval for other images and other draws.
    """

    accuracy: float
    low: float
    high: float
    n: int
    draws: int


def one_draw(columns: Columns, *, draws: int, confidence: float = 0.95) -> OneDraw:
    """Robust accuracy if each image is judged by one draw, from how many of its draws were wrong.

    An image that most draws get wrong when clean counts as wrong. Images are the sample; the draws
    of one image stand together, so the variance is that of the images' shares, and the interval is
    Wilson's at the number of images that has that variance (never more than all draws of all
    images). Raises ValueError without the column `draws_wrong`, or for counts outside [0, draws].
    """
    if COLUMN not in columns:
        raise ValueError(f"no column {COLUMN}: the victim draws no random numbers")
    wrong = np.asarray(columns[COLUMN], dtype=np.int64)
    if len(wrong) and (wrong.min() < 0 or wrong.max() > draws):
        raise ValueError(f"{COLUMN}: got {wrong.min()} to {wrong.max()}, expected 0 to {draws}")
    share = np.where(np.asarray(columns["clean_correct"], dtype=bool), 1 - wrong / draws, 0.0)
    n = len(share)
    if n == 0:
        return OneDraw(math.nan, math.nan, math.nan, 0, draws)
    mean = float(share.mean())
    spread = float(share.var(ddof=1)) if n > 1 else 0.0
    binomial = mean * (1 - mean)
    effective = min(n * binomial / spread, float(n * draws)) if spread and binomial else float(n)
    low, high = score_interval(mean, effective, confidence)
    return OneDraw(mean, low, high, n, draws)
