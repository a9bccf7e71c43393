"""Tables from which a clinical rate cannot be had."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest

from robench.scoring.medical import auroc, class_scores, risk_weighted_asr, robust_by_class

PAIR = ("normal", "ill")


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "label": [0, 1],
            "clean_prediction": [0, 1],
            "adversarial_prediction": [1, 1],
            "clean_correct": [True, True],
            "success": [True, False],
            "clean_margin": [1.0, 2.0],
            "adversarial_margin": [-1.0, 1.0],
        }
    )


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("label", partial(robust_by_class, class_names=PAIR)),
        ("success", partial(robust_by_class, class_names=PAIR)),
        ("clean_correct", partial(robust_by_class, class_names=PAIR)),
        ("adversarial_margin", partial(auroc, class_names=PAIR, when="adversarial")),
        ("adversarial_prediction", partial(class_scores, class_names=PAIR, when="adversarial")),
    ],
)
def test_missing_column(frame: pd.DataFrame, name: str, rate: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match=f"without the column '{name}'"):
        rate(frame.drop(columns=name))


def test_auroc_of_more_classes(frame: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"AUROC needs two classes, got 3: .* every logit"):
        auroc(frame, class_names=(*PAIR, "worse"), when="clean")


def test_auroc_of_one_class(frame: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="images of both classes, got only 'ill'"):
        auroc(frame.assign(label=1), class_names=PAIR, when="clean")


def test_auroc_of_unknown_margins(frame: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="adversarial_margin is NaN for 1 images"):
        auroc(frame.assign(adversarial_margin=[math.nan, 1]), class_names=PAIR, when="adversarial")


def test_class_outside_the_names(frame: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="clean_prediction 2 is none of the 2 classes"):
        class_scores(frame.assign(clean_prediction=[0, 2]), class_names=PAIR, when="clean")
    with pytest.raises(ValueError, match="at least two classes are needed, got 1"):
        robust_by_class(frame, class_names=("normal",))


def test_no_image(frame: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="without images"):
        robust_by_class(frame.iloc[:0], class_names=PAIR)


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        ([[0, 1]], r"costs must be 2 × 2, got shape \(1, 2\)"),
        ([[0, -1], [1, 0]], "finite and not negative"),
        ([[0, np.nan], [1, 0]], "finite and not negative"),
        ([[1, 1], [1, 0]], "0 on the diagonal"),
        ([[0, 0], [0, 0]], "must not all be 0"),
    ],
)
def test_costs(frame: pd.DataFrame, costs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        risk_weighted_asr(frame, class_names=PAIR, costs=costs)
