"""Dice and IoU against scikit-learn, and the conventions."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, jaccard_score

from robench.segmentation import score

RANDOM = np.random.default_rng(0)
IDS = np.array(["a", "b", "c", "d", "e"])


@pytest.mark.parametrize("num_classes", [2, 4])
def test_as_scikit_learn_has_it(num_classes: int) -> None:
    truth = RANDOM.integers(0, num_classes, (5, 9, 7)).astype(np.uint8)
    predicted = np.where(RANDOM.random(truth.shape) < 0.6, truth, (truth + 1) % num_classes)
    scores = score(predicted, truth, IDS, num_classes=num_classes)
    rows = scores.images
    assert rows["image_id"].tolist() == IDS.tolist()
    foreground = list(range(1, num_classes))
    for column, measure in (("dice", f1_score), ("iou", jaccard_score)):
        expected = [measure(t.ravel(), p.ravel(), labels=foreground, average="macro")
                    for t, p in zip(truth, predicted, strict=True)]
        assert rows[column].tolist() == pytest.approx(expected)
    assert scores.dice == pytest.approx(rows["dice"].mean())
    assert scores.iou == pytest.approx(rows["iou"].mean())
    assert scores.class_mean_iou == pytest.approx(
        jaccard_score(truth.ravel(), predicted.ravel(), average="macro")
    )


def test_empty_masks() -> None:
    """Both empty: 1. One of them empty: 0."""
    none, some = np.zeros((4, 4), np.uint8), np.eye(4, dtype=np.uint8)
    truth, predicted = np.stack([none, none, some, some]), np.stack([none, some, none, some])
    rows = score(predicted, truth, IDS[:4]).images
    assert rows["dice"].tolist() == rows["iou"].tolist() == [1.0, 0.0, 0.0, 1.0]


def test_a_class_that_is_nowhere_is_left_out_of_the_class_mean() -> None:
    masks = np.eye(4, dtype=np.uint8)[None]
    assert score(masks, masks, IDS[:1], num_classes=3).class_mean_iou == 1.0
    half = masks.copy()
    half[0, 0, 0] = 0  # background 12 of 13, foreground 3 of 4
    found = score(half, masks, IDS[:1], num_classes=3).class_mean_iou
    assert found == pytest.approx((12 / 13 + 3 / 4) / 2)


def test_every_number_follows_from_the_rows() -> None:
    truth, predicted = RANDOM.integers(0, 2, (2, 5, 8, 8))
    rows = score(predicted, truth, IDS).images
    union = rows["truth_1"] + rows["predicted_1"] - rows["overlap_1"]
    assert (rows["overlap_1"] / union).tolist() == pytest.approx(rows["iou"].tolist())
    assert (rows["truth_0"] + rows["truth_1"] == 64).all()
    assert (rows["predicted_0"] + rows["predicted_1"] == 64).all()


def test_the_interval_holds_the_mean_and_narrows() -> None:
    def width(count: int) -> float:
        truth = RANDOM.integers(0, 2, (count, 4, 4))
        predicted = RANDOM.integers(0, 2, (count, 4, 4))
        scores = score(predicted, truth, np.arange(count).astype(np.str_))
        low, high = scores.interval("dice")
        assert low < scores.dice < high
        assert scores.interval("dice") == (low, high)
        # the same as the textbook's mean ± 1.96 standard errors, up to the bootstrap's noise
        error = 1.96 * scores.images["dice"].std() / count**0.5
        assert high - low == pytest.approx(2 * error, rel=0.15)
        return high - low

    assert width(400) < 0.5 * width(40)
    # images of equal scores leave nothing to vary
    same = np.ones((6, 2, 2), np.uint8)
    assert score(same, same, np.arange(6).astype(np.str_)).interval("iou") == (1.0, 1.0)


def test_summary() -> None:
    truth, predicted = RANDOM.integers(0, 2, (2, 5, 8, 8))
    scores = score(predicted, truth, IDS)
    summary = scores.summary()
    assert list(summary) == ["n", "dice", "dice_low", "dice_high", "iou", "iou_low", "iou_high",
                             "class_mean_iou"]
    assert (summary["n"], summary["dice"], summary["iou"]) == (5, scores.dice, scores.iou)
    assert (summary["dice_low"], summary["dice_high"]) == scores.interval("dice")
