"""Rates that clinics ask for, before and under attack: per class, by cost, and as a ranking.

The choice of measures follows Ghamizi et al. (2022). Sensitivity, precision and their kin take
the stored predictions of all images; an image that is wrong before the attack is not attacked and
keeps its prediction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from robench.scoring.images import column
from robench.scoring.wilson import wilson
from robench.scoring.worst_case import Columns, Floats

When = Literal["clean", "adversarial"]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClassScores:
    """One class against the rest, or the macro mean (`name` "macro", `n` all images).

    `sensitivity` is recall. `n` images are of the class. A rate is NaN where its denominator is 0:
    sensitivity of a class without images, specificity where there is no other class, precision of
    a class never predicted, F1 of a class neither there nor predicted.
    """

    name: str
    n: int
    sensitivity: float
    specificity: float
    precision: float
    f1: float


@dataclass(frozen=True)
class ClassRate:
    """Robust accuracy of one class, with its 95 % Wilson interval; NaN without images."""

    name: str
    n: int
    n_robust: int
    robust_accuracy: float
    low: float
    high: float


def class_scores(
    columns: Columns, *, class_names: tuple[str, ...], when: When
) -> tuple[ClassScores, ...]:
    """Scores of each class, and last their macro mean, of the clean or adversarial predictions.

    The macro mean is over the classes that have images. There a class that is never predicted
    counts with precision 0: to leave it out would reward never predicting it.

    Raises ValueError for a missing column, no image, fewer than two classes, or a label or
    prediction outside them.
    """
    from sklearn.metrics import multilabel_confusion_matrix, precision_recall_fscore_support

    labels, predictions = _labels(columns, class_names), _predictions(columns, class_names, when)
    classes = list(range(len(class_names)))
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predictions, labels=classes, zero_division=np.nan
    )
    table = multilabel_confusion_matrix(labels, predictions, labels=classes)
    specificity = [_ratio(int(each[0, 0]), int(each[0].sum())) for each in table]
    scores = [
        ClassScores(name, int(support[k]), float(recall[k]), specificity[k],
                    float(precision[k]), float(f1[k]))
        for k, name in enumerate(class_names)
    ]
    present = [score for score in scores if score.n]
    macro = ClassScores(
        name="macro",
        n=len(labels),
        sensitivity=_mean([score.sensitivity for score in present]),
        specificity=_mean([score.specificity for score in present]),
        precision=_mean([0.0 if math.isnan(score.precision) else score.precision
                         for score in present]),
        f1=_mean([score.f1 for score in present]),
    )
    return (*scores, macro)


def auroc(columns: Columns, *, class_names: tuple[str, ...], when: When) -> float:
    """Area under the ROC of two classes, the second of `class_names` being the positive one.

    The score z_1 − z_0 is the stored margin (z_label − z_other), negated where the label is 0.
    Under attack, images wrong before it keep their clean margin, for they are not attacked; and
    the attack sought to change predictions, not ranks, so other attacks may lower it further.

    Raises ValueError for more than two classes: a margin holds the label's logit less the best
    other one, and a ranking one against the rest needs the logit of every class; what margins give
    there is accuracy, over all and per class (`class_scores`, `robust_by_class`). Also for one
    class among the labels, a missing column, no image, or a margin that is NaN.
    """
    from sklearn.metrics import roc_auc_score

    if len(class_names) != 2:
        raise ValueError(
            f"AUROC needs two classes, got {len(class_names)}: outcome tables hold margins, and "
            "one class against the rest needs every logit"
        )
    labels = _labels(columns, class_names)
    margin = column(columns, f"{when}_margin").astype(np.float64)
    if np.isnan(margin).any():
        raise ValueError(f"{when}_margin is NaN for {int(np.isnan(margin).sum())} images")
    if len(np.unique(labels)) < 2:
        raise ValueError(f"AUROC needs images of both classes, got only "
                         f"'{class_names[labels[0]]}'")
    # Ranks are all that counts, and sklearn takes no infinity.
    score = np.unique(np.where(labels == 1, margin, -margin), return_inverse=True)[1]
    return float(roc_auc_score(labels, score))


def robust_by_class(columns: Columns, *, class_names: tuple[str, ...]) -> tuple[ClassRate, ...]:
    """Robust accuracy of each class: right before and after the attack, of all its images.

    Raises ValueError for a missing column, no image, or a label outside the classes.
    """
    labels = _labels(columns, class_names)
    robust = column(columns, "clean_correct").astype(bool) & ~column(columns, "success").astype(
        bool
    )
    rates = []
    for k, name in enumerate(class_names):
        n, kept = int((labels == k).sum()), int(robust[labels == k].sum())
        rates.append(ClassRate(name, n, kept, _ratio(kept, n), *wilson(kept, n)))
    return tuple(rates)


def attack_confusion(columns: Columns, *, class_names: tuple[str, ...]) -> Integers:
    """Broken images by class (row) and by the class they were turned into (column), K × K.

    The diagonal is 0: a broken image is not predicted as its label. Raises ValueError for a
    missing column, no image, or a label or prediction outside the classes.
    """
    from sklearn.metrics import confusion_matrix

    broken = column(columns, "success").astype(bool)
    labels = _labels(columns, class_names)
    predictions = _predictions(columns, class_names, "adversarial")
    if not broken.any():
        return np.zeros((len(class_names), len(class_names)), dtype=np.int64)
    classes = list(range(len(class_names)))
    found = confusion_matrix(labels[broken], predictions[broken], labels=classes)
    return np.asarray(found, dtype=np.int64)


def risk_weighted_asr(
    columns: Columns, *, class_names: tuple[str, ...], costs: npt.ArrayLike
) -> float:
    """Σ C[y, ŷ']·s / (Σ c · max C): the harm done, of the most that could have been done.

    `costs` (K × K) is the cost of calling class y (row) class ŷ' (column), not negative, 0 on the
    diagonal; max C is over all of it. With equal costs it is the ASR. NaN where no image is right
    before the attack. Raises ValueError for other costs, and where `attack_confusion` does.
    """
    size = len(class_names)
    cost: Floats = np.asarray(costs, dtype=np.float64)
    if cost.shape != (size, size):
        raise ValueError(f"costs must be {size} × {size}, got shape {cost.shape}")
    if not np.isfinite(cost).all() or (cost < 0).any():
        raise ValueError("costs must be finite and not negative")
    if np.diagonal(cost).any():
        raise ValueError("costs must be 0 on the diagonal: a right answer costs nothing")
    if not cost.any():
        raise ValueError("costs must not all be 0")
    harm = float((cost * attack_confusion(columns, class_names=class_names)).sum())
    right = int(column(columns, "clean_correct").astype(bool).sum())
    return harm / (right * float(cost.max())) if right else math.nan


def _labels(columns: Columns, class_names: tuple[str, ...]) -> Integers:
    return _classes(columns, "label", class_names)


def _predictions(columns: Columns, class_names: tuple[str, ...], when: When) -> Integers:
    return _classes(columns, f"{when}_prediction", class_names)


def _classes(columns: Columns, name: str, class_names: tuple[str, ...]) -> Integers:
    if len(class_names) < 2:
        raise ValueError(f"at least two classes are needed, got {len(class_names)}")
    values: npt.NDArray[Any] = column(columns, name).astype(np.int64)
    if not len(values):
        raise ValueError("outcome table without images")
    outside = values[(values < 0) | (values >= len(class_names))]
    if len(outside):
        raise ValueError(f"{name} {outside[0]} is none of the {len(class_names)} classes")
    return values


def _ratio(count: int, n: int) -> float:
    return count / n if n else math.nan


def _mean(values: list[float]) -> float:
    return float(np.mean(values))
