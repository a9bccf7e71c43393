"""The losses of `trades` and `mart` against numpy and scipy, and how TRADES crafts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, rel_entr, softmax
from torch import Tensor, nn

from robench.attacks.balls import distances
from robench.training.mart import Mart, boosted_cross_entropy, mart_loss
from robench.training.trades import START, Trades, divergence, trades_loss

from .stand_ins import small_network
from .test_craft import Spy, adversary, batch, seeded
from .test_tvl import EPOCH

SHAPES = [(5, 2), (7, 3), (6, 10)]


def logits_and_labels(shape: tuple[int, int], *, seed: int, scale: float = 3.0):  # type: ignore[no-untyped-def]
    random = np.random.default_rng(seed)
    clean, crafted = scale * random.normal(size=(2, *shape))
    return clean, crafted, random.integers(shape[1], size=shape[0])


def tensors(*arrays: np.ndarray) -> list[Tensor]:
    return [torch.from_numpy(array) for array in arrays]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_trades_loss_is_the_formula(shape: tuple[int, int], weighted: bool) -> None:
    clean, crafted, labels = logits_and_labels(shape, seed=0)
    rows = np.arange(len(labels))
    weights = np.linspace(0.5, 2.0, shape[1]) if weighted else np.ones(shape[1])
    each = -log_softmax(clean, axis=1)[rows, labels]
    each = each + 6.0 * rel_entr(softmax(clean, axis=1), softmax(crafted, axis=1)).sum(axis=1)
    found = trades_loss(
        *tensors(clean, crafted, labels), beta=6.0,
        weights=torch.from_numpy(weights) if weighted else None,
    )
    assert found.item() == pytest.approx((weights[labels] * each).mean(), rel=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_mart_loss_is_the_formula(shape: tuple[int, int], weighted: bool) -> None:
    clean, crafted, labels = logits_and_labels(shape, seed=1)
    weights = np.linspace(0.5, 2.0, shape[1]) if weighted else np.ones(shape[1])
    total = 0.0
    for before, after, label in zip(
        softmax(clean, axis=1), softmax(crafted, axis=1), labels, strict=True
    ):
        wrong = max(p for k, p in enumerate(after) if k != label)
        boosted = -np.log(after[label]) - np.log(1 - wrong)
        away = sum(p * np.log(p / q) for p, q in zip(before, after, strict=True))
        total += weights[label] * (boosted + 5.0 * away * (1 - before[label]))
    found = mart_loss(
        *tensors(clean, crafted, labels), beta=5.0,
        weights=torch.from_numpy(weights) if weighted else None,
    )
    assert found.item() == pytest.approx(total / len(labels), rel=1e-9)


@given(st.integers(0, 10**6), st.sampled_from(SHAPES), st.floats(0.1, 300.0))
@settings(max_examples=50, deadline=None)
def test_losses_stay_finite_and_have_finite_gradients(
    seed: int, shape: tuple[int, int], scale: float
) -> None:
    clean, crafted, labels = tensors(*logits_and_labels(shape, seed=seed, scale=scale))
    clean, crafted = (each.float().requires_grad_(True) for each in (clean, crafted))
    away = divergence(clean, crafted)
    assert bool((away > -1e-4).all())
    assert bool((boosted_cross_entropy(crafted, labels) >= -1e-4).all())
    for loss in (trades_loss, mart_loss):
        gradients = torch.autograd.grad(
            loss(clean, crafted, labels, beta=5.0, weights=None), [clean, crafted]
        )
        assert all(bool(torch.isfinite(each).all()) for each in gradients)


def test_no_divergence_where_nothing_moved() -> None:
    clean, _, labels = tensors(*logits_and_labels((6, 4), seed=2))
    assert divergence(clean, clean).abs().max().item() < 1e-12
    plain = torch.nn.functional.cross_entropy(clean, labels)
    assert trades_loss(clean, clean, labels, beta=6.0, weights=None).item() == pytest.approx(
        plain.item()
    )


def test_with_two_classes_the_boosted_loss_is_twice_the_cross_entropy() -> None:
    _, crafted, labels = tensors(*logits_and_labels((9, 2), seed=3))
    plain = torch.nn.functional.cross_entropy(crafted, labels, reduction="none")
    assert torch.allclose(boosted_cross_entropy(crafted, labels), 2 * plain)


def trades(**settings_: object) -> Trades:
    attack = adversary(**settings_)
    return Trades(training=attack, validation=attack, beta=6.0)


def test_trades_starts_at_a_small_normal_step() -> None:
    seen: list[Tensor] = []
    images = torch.full((30, 1, 8, 8), 0.5)
    network = Spy(lambda _, pixels: seen.append(pixels.detach().clone()))
    labels = torch.zeros(30, dtype=torch.int64)
    trades(steps=1).crafted(network, images, labels, replace(EPOCH, generator=seeded(2)))
    assert torch.equal(seen[0], images), "what the network says of the clean image"
    offsets = seen[1] - images
    assert offsets.std().item() == pytest.approx(START, rel=0.05)
    assert abs(offsets.mean().item()) < START / 10


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_trades_images_are_far_in_divergence_and_inside_the_ball(norm: str) -> None:
    network, (images, labels) = small_network().eval(), batch()
    epsilon = 0.1 if norm == "linf" else 0.5
    found = trades(norm=norm, epsilon=epsilon, step_size=epsilon / 4, steps=10).crafted(
        network, images, labels, replace(EPOCH, generator=seeded(2))
    )
    assert bool((distances(images.double(), found.double(), norm) <= epsilon).all())
    assert 0.0 <= float(found.min()) <= float(found.max()) <= 1.0
    random = torch.empty_like(images).uniform_(-epsilon, epsilon, generator=seeded(3))
    if norm == "l2":
        random = epsilon * random / random.flatten(1).norm(dim=1)[:, None, None, None]
    with torch.no_grad():
        clean = network(images)
        reached = divergence(clean, network(found))
        by_chance = divergence(clean, network((images + random).clamp(0, 1)))
    assert bool((reached > by_chance).all())
    assert float(reached.mean()) > 5 * float(by_chance.mean())


class Linear(nn.Module):
    """One logit w·x: the divergence grows along the gradient, away from the clean logit."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(64, generator=seeded(5)))

    def forward(self, images: Tensor) -> Tensor:
        return (images.flatten(1) @ self.weight)[:, None]


def test_trades_ascends_to_a_corner_of_the_box_of_a_linear_network() -> None:
    images, labels = batch()
    images = 0.3 + 0.4 * images
    network = Linear()
    found = trades(epsilon=0.05, step_size=0.02, steps=10).crafted(
        network, images, labels, replace(EPOCH, generator=seeded(2))
    )
    direction = network.weight.detach().sign().reshape(1, 1, 8, 8)
    signs = ((found - images) / (0.05 * direction)).flatten(1)
    assert torch.allclose(signs, signs[:, :1].expand_as(signs), atol=1e-4)
    assert torch.allclose(signs.abs(), torch.ones_like(signs), atol=1e-4)


def test_mart_sees_the_image_it_doubts_most() -> None:
    """The term of an image that is right beyond doubt vanishes."""
    clean = torch.tensor([[20.0, -20.0], [-20.0, 20.0]])
    crafted = torch.tensor([[2.0, -2.0], [2.0, -2.0]])
    labels = torch.tensor([0, 0])
    found = [
        mart_loss(clean[row : row + 1], crafted[row : row + 1], labels[:1], beta=beta, weights=None)
        for row in (0, 1) for beta in (0.0, 5.0)
    ]
    assert found[1].item() == pytest.approx(found[0].item(), abs=1e-5)
    assert found[3].item() > found[2].item() + 10


def test_mart_crafts_as_pgd() -> None:
    attack = adversary()
    images, labels = batch()
    mart = Mart(training=attack, validation=attack, beta=5.0)
    network = small_network()
    found = mart.crafted(network, images, labels, replace(EPOCH, generator=seeded(4)))
    assert torch.equal(found, attack.images(network, images, labels, seeded(4)))
