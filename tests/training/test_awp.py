"""Adversarial weight perturbation, against a step written out by hand with a second network."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from robench.errors import UserError
from robench.training.awp import WeightPerturbation
from robench.training.loop import train
from robench.training.objective import Epoch
from robench.training.pgd_at import PgdImages
from robench.training.settings import Settings
from robench.training.trades import Trades

from .stand_ins import same_bits, small_network, striped_data
from .test_craft import adversary, batch, seeded
from .test_tvl import EPOCH

PERTURBATION = WeightPerturbation(gamma=0.05)


def cross_entropy_of(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(network(images), labels)


def by_hand(network: nn.Module, images: Tensor, labels: Tensor, *, gamma: float) -> nn.Module:
    """Two steps: a copy climbs by plain SGD, and its way is rescaled layer by layer."""
    proxy, moved = copy.deepcopy(network), copy.deepcopy(network)
    climber = torch.optim.SGD(proxy.parameters(), lr=0.01)
    (-cross_entropy_of(proxy, images, labels)).backward()
    climber.step()
    with torch.no_grad():
        for weight, reached, target in zip(
            network.parameters(), proxy.parameters(), moved.parameters(), strict=True
        ):
            if weight.dim() > 1:
                way = reached - weight
                target += gamma * weight.norm() / way.norm() * way
    return moved


def test_the_moved_weights_are_the_two_steps_by_hand() -> None:
    network, (images, labels) = small_network(dropout=0.0).train(), batch()
    reference = by_hand(network, images, labels, gamma=0.05)
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    weights = [weight.detach().clone() for weight in network.parameters()]

    moved = PERTURBATION.moved(network, lambda there: cross_entropy_of(there, images, labels))
    assert all(torch.equal(value, buffers[name]) for name, value in network.named_buffers())
    assert all(weight.grad is None for weight in network.parameters())
    loss = cross_entropy_of(moved, images, labels)
    expected = cross_entropy_of(reference, images, labels)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert loss.item() > cross_entropy_of(copy.deepcopy(network), images, labels).item() + 0.01

    loss.backward()
    expected.backward()
    pairs = zip(network.parameters(), reference.parameters(), strict=True)
    for weight, other in pairs:
        assert torch.allclose(weight.grad, other.grad, atol=1e-5)
    assert all(torch.equal(*pair) for pair in zip(network.parameters(), weights, strict=True))
    for (name, value), other in zip(network.named_buffers(), reference.buffers(), strict=True):
        assert torch.allclose(value.float(), other.float(), atol=1e-4), name
    assert [*moved.parameters()] == []


def test_each_layer_moves_by_its_share_and_vectors_stay() -> None:
    network, (images, labels) = small_network().train(), batch()
    moved = PERTURBATION.moved(network, lambda there: cross_entropy_of(there, images, labels))
    shifts = moved._parts[1]
    assert set(shifts) == {"1.weight", "5.weight", "10.weight"}
    for name, shift in shifts.items():
        expected = 0.05 * network.get_parameter(name).norm().item()
        assert shift.norm().item() == pytest.approx(expected, rel=1e-5)


def test_frozen_and_unused_weights_stay() -> None:
    network, (images, labels) = small_network().train(), batch()
    network[1].weight.requires_grad_(False)
    network.unused = nn.Parameter(torch.ones(2, 2))
    moved = PERTURBATION.moved(
        network, lambda there: functional.cross_entropy(network[:11](images), labels)
    )
    assert set(moved._parts[1]) == {"5.weight", "10.weight"}


@pytest.mark.parametrize("kind", [PgdImages, Trades])
def test_the_whole_loss_is_perturbed(kind: type) -> None:
    more = {"beta": 6.0} if kind is Trades else {}
    attack = adversary(steps=2)
    images, labels = batch()
    plain = kind(training=attack, validation=attack, **more)
    perturbed = kind(training=attack, validation=attack, awp=PERTURBATION, **more)
    network = small_network(dropout=0.0).train()
    crafted = plain.crafted(network, images, labels, _epoch())
    loss, _ = perturbed.loss(network, images, labels, _epoch())

    reference = copy.deepcopy(small_network(dropout=0.0).train())
    shifts = PERTURBATION.moved(
        reference, lambda there: plain.loss_on(there, images, crafted, labels, _epoch())[0]
    )._parts[1]
    with torch.no_grad():
        for name, shift in shifts.items():
            reference.get_parameter(name).add_(shift)
    expected, _ = plain.loss_on(reference, images, crafted, labels, _epoch())
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert loss.item() > plain.loss(network, images, labels, _epoch())[0].item()


def _epoch() -> Epoch:
    return replace(EPOCH, generator=seeded(1))


def test_warm_up_epochs_are_without() -> None:
    settings = Settings(
        epochs=1, batch_size=16, optimizer="sgd", learning_rate=0.05, weight_decay=0.0,
        momentum=0.9, schedule="constant", class_weights="none", patience=None,
    )  # fmt: skip
    attack = adversary(steps=1)
    found = [
        train(small_network(), striped_data(),
              PgdImages(training=attack, validation=attack, awp=awp), settings=settings,
              device="cpu", seed=0)
        for awp in (None, WeightPerturbation(gamma=0.05, warm_up=1), PERTURBATION)
    ]
    assert same_bits(found[0], found[1])
    assert not same_bits(found[0], found[2])


@pytest.mark.parametrize(("setting", "told"), [
    (0.01, "expected a mapping such as {gamma: 0.01}, or null"),
    ({}, "expected a mapping such as"),
    ({"gama": 0.01}, "did you mean 'gamma'"),
    ({"gamma": 0.0}, "awp: gamma"),
    ({"gamma": 1.5}, "awp: gamma"),
    ({"gamma": "much"}, "awp: gamma"),
    ({"gamma": 0.01, "warm_up": -1}, "awp: warm_up"),
    ({"gamma": 0.01, "warmup": 3}, "did you mean 'warm_up'"),
])  # fmt: skip
def test_unfit_settings(setting: object, told: str) -> None:
    with pytest.raises(UserError) as caught:
        WeightPerturbation.of(setting)  # type: ignore[arg-type]
    assert told in str(caught.value)


def test_none_is_none() -> None:
    assert WeightPerturbation.of(None) is None
    assert WeightPerturbation.of({"gamma": 0.01}) == WeightPerturbation(gamma=0.01, warm_up=0)
