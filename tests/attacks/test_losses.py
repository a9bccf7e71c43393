import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from robench.attacks.losses import (
    broken,
    cross_entropy,
    dlr,
    log_odds,
    margin,
    targeted_cross_entropy,
    targeted_cw,
    targeted_dlr,
)


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


def _gradient_of(loss, logits, labels):
    leaf = logits.clone().requires_grad_(True)
    loss(leaf, labels).sum().backward()
    return leaf.grad


def _reference(logits, labels):
    return functional.cross_entropy(logits, labels, reduction="none")


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**20), classes=st.integers(2, 7), scale=st.sampled_from([0.1, 1, 30]))
def test_cross_entropy_is_pytorchs_bit_for_bit_unless_the_label_leads_by_far(seed, classes, scale):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(64, classes, generator=generator)
    labels = torch.randint(classes, (64,), generator=generator)
    near = margin(logits, labels) < 11.99
    expected = _gradient_of(_reference, logits, labels)
    assert torch.equal(_gradient_of(cross_entropy, logits, labels)[near], expected[near])
    found = cross_entropy(logits, labels)
    assert torch.equal(found[near], _reference(logits, labels)[near])
    torch.testing.assert_close(found.double(), _reference(logits.double(), labels), atol=2e-6,
                               rtol=2e-6)


@pytest.mark.parametrize("lead", [12.5, 17.0, 25.0, 49.0])
def test_the_gradient_of_a_confident_cross_entropy_is_the_one_of_float64(lead):
    """PyTorch's own has lost half of it at 17."""
    logits = torch.tensor([[lead, 0.0, -1.0], [lead, -2.0, 0.0]])
    labels = torch.zeros(2).long()
    expected = _gradient_of(_reference, logits.double(), labels)
    found = _gradient_of(cross_entropy, logits, labels).double()
    others = expected[:, 1:]
    assert torch.allclose(found[:, 1:], others, rtol=1e-4)
    assert torch.allclose(found[:, 0], -others.sum(dim=1), rtol=1e-4)


@pytest.mark.parametrize("lead", [60.0, 90.0, 300.0, 1e6])
def test_however_confident_the_gradient_keeps_its_direction_and_a_length(lead):
    logits = torch.tensor([[lead, 0.0, -1.0]])
    found = _gradient_of(cross_entropy, logits, torch.tensor([0]))[0].double()
    expected = torch.tensor([-1.0, 0.731058579, 0.268941421], dtype=torch.float64)
    assert torch.allclose(found / found[0].abs(), expected, atol=1e-5)
    assert found[0] < -1e-23
    assert abs(float(cross_entropy(logits, torch.tensor([0])))) < 1e-15


def test_a_wild_row_leaves_no_nan():
    logits = torch.tensor([[0.0, 3e4], [3e4, 0.0], [-1e30, 1e30]])
    found = _gradient_of(cross_entropy, logits, torch.zeros(3).long())
    assert bool(torch.isfinite(found).all())
    assert bool((found[:, 0] < 0).all())


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**20), classes=st.integers(2, 7))
def test_dlr_and_its_targeted_version_by_hand(seed, classes):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(8, classes, generator=generator)
    labels = torch.randint(classes, (8,), generator=generator)
    targets = (labels + 1 + torch.randint(classes - 1, (8,), generator=generator)) % classes
    aims = torch.stack([labels, targets], dim=1)
    for row, label, target, plain, aimed, gap in zip(
        logits, labels, targets, dlr(logits, labels), targeted_dlr(logits, aims),
        targeted_cw(logits, aims), strict=True,
    ):
        values = sorted(row.tolist(), reverse=True)
        away = max(value for place, value in enumerate(row) if place != label) - row[label]
        torch.testing.assert_close(gap, row[target] - row[label])
        scale = values[0] - values[2] if classes > 2 else 1.0
        torch.testing.assert_close(plain, away / scale)
        scale = values[0] - (values[2] + values[3]) / 2 if classes > 3 else 1.0
        torch.testing.assert_close(aimed, (row[target] - row[label]) / scale)


@pytest.mark.parametrize("together", [False, True])
def test_log_odds_are_of_the_probability_and_order_as_the_cross_entropy_does(together):
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(6, 5, 3, generator=generator)
    classes = torch.tensor([0, 1, 2, 0, 1, 2])
    probability = logits.double().softmax(dim=2).gather(
        2, classes[:, None, None].expand(-1, 5, 1)
    )[..., 0]
    found = log_odds(logits, classes) if together else torch.stack(
        [log_odds(each, classes) for each in logits.unbind(dim=1)], dim=1
    )
    assert torch.allclose(found, probability.logit().float(), rtol=1e-5, atol=1e-6)
    costs = functional.cross_entropy(
        logits.double().transpose(1, 2), classes[:, None].expand(-1, 5), reduction="none"
    )
    assert torch.equal(found.argsort(dim=1), costs.argsort(dim=1, descending=True))


def test_targeted_cross_entropy_rises_towards_the_target():
    logits = torch.tensor([[0.0, 1.0, 0.0], [0.0, 5.0, 0.0]])
    aims = torch.tensor([[0, 1], [0, 1]])
    found = targeted_cross_entropy(logits, aims)
    torch.testing.assert_close(found, torch.log_softmax(logits, dim=1)[:, 1])
    assert found[1] > found[0]


def test_losses_with_two_classes_have_a_gradient():
    for loss, aims in ((dlr, torch.tensor([0])), (targeted_dlr, torch.tensor([[0, 1]]))):
        logits = torch.tensor([[2.0, -1.0]], requires_grad=True)
        loss(logits, aims).sum().backward()
        assert torch.equal(logits.grad, torch.tensor([[-1.0, 1.0]]))
