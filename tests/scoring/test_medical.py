"""Clinical rates against definitions written as loops, and closed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from robench.scoring.medical import (
    attack_confusion,
    auroc,
    class_scores,
    risk_weighted_asr,
    robust_by_class,
)
from robench.scoring.wilson import wilson

NAMES = ("normal", "mild", "severe")


def table(labels: Any, clean: Any, adversarial: Any) -> pd.DataFrame:
    """An outcome table of these predictions; images wrong before are left as they are."""
    y, before, after = np.array(labels), np.array(clean), np.array(adversarial)
    right = before == y
    after = np.where(right, after, before)
    return pd.DataFrame(
        {
            "image_id": [f"image-{k}" for k in range(len(y))],
            "label": y,
            "clean_prediction": before,
            "adversarial_prediction": after,
            "clean_correct": right,
            "success": right & (after != y),
        }
    )


def draw_table(data: st.DataObject) -> pd.DataFrame:
    n = data.draw(st.integers(1, 30))
    classes = st.lists(st.integers(0, 2), min_size=n, max_size=n)
    return table(data.draw(classes), data.draw(classes), data.draw(classes))


def ratio(above: int, below: int) -> float:
    return above / below if below else math.nan


@settings(max_examples=40, deadline=None)
@given(data=st.data(), when=st.sampled_from(["clean", "adversarial"]))
def test_class_scores_are_their_definitions(data: st.DataObject, when: Any) -> None:
    frame = draw_table(data)
    *scores, macro = class_scores(frame, class_names=NAMES, when=when)
    pairs = list(zip(frame["label"], frame[f"{when}_prediction"], strict=True))
    for k, score in enumerate(scores):
        tp = sum(y == k == found for y, found in pairs)
        fn = sum(y == k != found for y, found in pairs)
        fp = sum(y != k == found for y, found in pairs)
        tn = len(pairs) - tp - fn - fp
        got = (score.sensitivity, score.specificity, score.precision, score.f1)
        expected = (ratio(tp, tp + fn), ratio(tn, tn + fp), ratio(tp, tp + fp),
                    ratio(2 * tp, 2 * tp + fp + fn))
        assert got == pytest.approx(expected, nan_ok=True)
        assert (score.name, score.n) == (NAMES[k], tp + fn)
    present = [score for score in scores if score.n]
    assert macro.sensitivity == pytest.approx(np.mean([score.sensitivity for score in present]))
    assert macro.precision == pytest.approx(
        np.mean([0 if math.isnan(score.precision) else score.precision for score in present])
    )
    assert macro.f1 == pytest.approx(np.mean([score.f1 for score in present]))
    assert (macro.name, macro.n) == ("macro", len(pairs))


def test_a_class_never_predicted_lowers_the_macro_precision() -> None:
    frame = table([0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0])
    normal, ill, macro = class_scores(frame, class_names=("normal", "ill"), when="clean")
    assert math.isnan(ill.precision)
    assert (ill.sensitivity, ill.specificity, ill.f1) == (0, 1, 0)
    assert (normal.precision, macro.precision) == (0.5, 0.25)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), when=st.sampled_from(["clean", "adversarial"]))
def test_auroc_is_the_share_of_ordered_pairs(data: st.DataObject, when: Any) -> None:
    n = data.draw(st.integers(2, 25))
    labels = [0, 1, *data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))]
    size = len(labels)
    logits = data.draw(st.lists(st.integers(-3, 3), min_size=size, max_size=size))
    frame = table(labels, [0] * size, [0] * size)
    sign = np.where(np.array(labels) == 1, 1.0, -1.0)
    frame[f"{when}_margin"] = sign * np.array(logits) / 7
    positive = [z for z, y in zip(logits, labels, strict=True) if y]
    negative = [z for z, y in zip(logits, labels, strict=True) if not y]
    expected = mannwhitneyu(positive, negative).statistic / (len(positive) * len(negative))
    assert auroc(frame, class_names=("normal", "ill"), when=when) == pytest.approx(expected)


def test_auroc_takes_infinite_margins() -> None:
    frame = table([0, 1, 1], [0, 0, 0], [0, 0, 0])
    frame["clean_margin"] = [math.inf, math.inf, -1.0]
    assert auroc(frame, class_names=("a", "b"), when="clean") == 1.0


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_per_class_rates_and_confusion_add_up(data: st.DataObject) -> None:
    frame = draw_table(data)
    rates = robust_by_class(frame, class_names=NAMES)
    confusion = attack_confusion(frame, class_names=NAMES)
    for k, rate in enumerate(rates):
        rows = frame[frame["label"] == k]
        kept = int((rows["clean_correct"] & ~rows["success"]).sum())
        assert (rate.name, rate.n, rate.n_robust) == (NAMES[k], len(rows), kept)
        assert (rate.low, rate.high) == pytest.approx(wilson(kept, len(rows)), nan_ok=True)
        assert rate.robust_accuracy == pytest.approx(ratio(kept, len(rows)), nan_ok=True)
        for other in range(3):
            turned = rows["success"] & (rows["adversarial_prediction"] == other)
            assert confusion[k, other] == turned.sum()
    assert not np.diagonal(confusion).any()
    assert confusion.sum() == frame["success"].sum()


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_risk_of_equal_costs_is_the_asr(data: st.DataObject) -> None:
    frame = draw_table(data)
    equal = 4.0 * (1 - np.eye(3))
    expected = ratio(frame["success"].sum(), frame["clean_correct"].sum())
    got = risk_weighted_asr(frame, class_names=NAMES, costs=equal)
    assert got == pytest.approx(expected, nan_ok=True)
    costs = data.draw(st.lists(st.integers(0, 9), min_size=9, max_size=9))
    matrix = np.array(costs).reshape(3, 3) * (1 - np.eye(3, dtype=int)) + np.eye(3, k=1, dtype=int)
    risk = risk_weighted_asr(frame, class_names=NAMES, costs=matrix)
    harm = sum(
        matrix[row.label, row.adversarial_prediction] * row.success
        for row in frame.itertuples()
    )
    assert risk == pytest.approx(
        ratio(harm, frame["clean_correct"].sum() * matrix.max()), nan_ok=True
    )
    assert math.isnan(risk) or 0 <= risk <= expected + 1e-12
