import pytest
import torch
from torch.nn import functional

from robench.training.logits import class_logits, weighted_cross_entropy


def test_one_logit_is_the_sigmoid_model() -> None:
    single = torch.tensor([[-2.0], [0.5], [3.0]])
    labels = torch.tensor([0, 1, 0])
    expected = functional.binary_cross_entropy_with_logits(single[:, 0], labels.float())
    assert weighted_cross_entropy(class_logits(single), labels, None) == pytest.approx(
        float(expected)
    )


def test_logits_become_float32() -> None:
    logits = class_logits(torch.zeros(2, 3, dtype=torch.bfloat16))
    assert (logits.dtype, logits.shape) == (torch.float32, (2, 3))


def test_a_weight_counts_alike_in_every_batch() -> None:
    logits = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 0, 0, 0, 1, 1])
    weights = torch.tensor([0.75, 1.5])
    whole = weighted_cross_entropy(logits, labels, weights)
    parts = [
        weighted_cross_entropy(logits[rows], labels[rows], weights)
        for rows in ([0, 1, 2], [3, 4, 5])
    ]
    assert float(sum(parts) / 2) == pytest.approx(float(whole))
    per_class = functional.cross_entropy(logits, labels, reduction="none")
    balanced = (per_class[:4].mean() + per_class[4:].mean()) / 2
    assert float(whole) == pytest.approx(float(balanced))
