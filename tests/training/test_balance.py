import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import recall_score
from sklearn.utils.class_weight import compute_class_weight

from robench.training.balance import balanced_accuracy, class_weights, is_unbalanced

COUNTS = st.lists(st.integers(1, 40), min_size=2, max_size=6)


@given(COUNTS)
def test_weights_are_scikit_learns(counts: list[int]) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    expected = compute_class_weight("balanced", classes=np.unique(labels), y=labels)
    weights = class_weights(np.array(counts), "balanced")
    assert weights == pytest.approx(expected)
    assert weights[labels].mean() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("counts", "unbalanced"),
    [([10, 10], False), ([14, 10], False), ([15, 10], True), ([10, 12, 15], True)],
)
def test_auto_weighs_from_one_and_a_half(counts: list[int], unbalanced: bool) -> None:
    held = np.array(counts)
    assert is_unbalanced(held) is unbalanced
    assert (class_weights(held, "auto") is not None) is unbalanced
    assert class_weights(held, "none") is None


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=50))
def test_balanced_accuracy_is_the_macro_recall(pairs: list[tuple[int, int]]) -> None:
    labels, predictions = np.array(pairs).T
    expected = recall_score(labels, predictions, labels=np.unique(labels), average="macro")
    assert balanced_accuracy(labels == predictions, labels) == pytest.approx(expected)
