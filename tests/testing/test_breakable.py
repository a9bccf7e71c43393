"""The network that every attack with gradients has to break is what it says it is (F8)."""

from __future__ import annotations

import pytest
import torch

from robench.attacks.balls import NORMS, Norm
from robench.attacks.noise import Noise
from robench.testing.networks import breakable, ordinary


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("norm", NORMS)
def test_each_image_breaks_at_half_of_epsilon(norm: Norm, classes: int) -> None:
    task = breakable(norm, classes=classes)
    with torch.no_grad():
        logits = task.network(task.images)
    assert torch.equal(logits.argmax(dim=1), task.labels)
    assert logits.shape == (4, classes)
    score = (logits[:, 1] - logits[:, 0]).double()
    weight = task.network.weight.detach().double().abs()
    room = 0.4 if norm in ("l0", "l1") else None  # each pixel may move by more than this
    heaviest = weight.sort(descending=True).values
    if norm == "l0":
        needed = (heaviest.cumsum(0) * room < score.abs().max()).sum() + 1
    elif norm == "l1":
        needed = score.abs().max() / heaviest[0]
        assert needed / room < 8  # so few of its sixteen heavy pixels take the whole of it
    else:
        needed = score.abs().max() / (weight.sum() if norm == "linf" else weight.norm())
    assert 0 < float(needed) <= 0.5 * task.epsilon * (1 + 1e-5)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_noise_does_not_break_it_or_the_test_would_be_void(norm: Norm) -> None:
    task = breakable(norm, classes=2)
    for seed in range(5):
        (result,) = Noise(norm=norm, draws=50)(
            task.network, task.images, task.labels, epsilons=[task.epsilon], seed=seed
        )
        assert not result.success.any()


@pytest.mark.parametrize("outputs", [1, 2, 10])
def test_the_ordinary_task_knows_what_its_network_gets_right(outputs: int) -> None:
    task = ordinary("linf", outputs=outputs)
    with torch.no_grad():
        logits = task.network(task.images)
    predicted = (logits[:, 0] > 0).long() if outputs == 1 else logits.argmax(dim=1)
    assert torch.equal(torch.eq(predicted, task.labels), task.right)
    assert 0 < int(task.right.sum()) < len(task.right)
    assert int(task.labels.max()) < max(outputs, 2)
    assert 0.0 <= float(task.images.min()) <= float(task.images.max()) <= 1.0
