import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from robench.attacks.losses import broken, cross_entropy, margin


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**20), classes=st.integers(2, 7))
def test_margin_is_negative_exactly_where_the_prediction_is_another(seed, classes):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(16, classes, generator=generator)
    labels = torch.randint(classes, (16,), generator=generator)
    by_hand = torch.stack([
        row[label] - max(value for place, value in enumerate(row) if place != label)
        for row, label in zip(logits, labels.tolist(), strict=True)
    ])
    assert torch.equal(margin(logits, labels), by_hand)
    assert torch.equal(broken(logits, labels), by_hand < 0)


def test_cross_entropy_is_per_image_and_in_float32():
    logits = torch.tensor([[2.0, -1.0, 0.5], [300.0, 0.0, 1.0]], dtype=torch.float16)
    labels = torch.tensor([1, 0])
    loss = cross_entropy(logits, labels)
    assert loss.dtype == torch.float32
    assert loss.shape == (2,)
    reference = functional.cross_entropy(logits.double(), labels, reduction="none")
    assert torch.allclose(loss.double(), reference, atol=1e-5)
