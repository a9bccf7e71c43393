"""An attack leaves the network and the caller's random numbers as they were."""

import logging
import random

import numpy as np
import pytest
import torch
from torch import nn

from robench.attacks.art import ArtBIM, ArtFGSM, ArtPGD
from robench.attacks.fgsm import FGSM
from robench.attacks.noise import Noise
from robench.attacks.pgd import BIM, PGD
from robench.freezing import frozen
from robench.victim import Victim

from .networks import BreaksDown, BreaksDownError, small_cnn
from .stand_in_attacks import OneStep, Shrinking

ATTACKS = [FGSM(), BIM(steps=2), PGD(steps=2), Noise(), OneStep(), Shrinking(), ArtFGSM(),
           ArtBIM(steps=2), ArtPGD(steps=2)]
NAMES = [type(attack).__name__ for attack in ATTACKS]


class Counts(nn.Module):
    """Counts its calls in a buffer, as a network with a state does."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("calls", torch.zeros(()))
        self.dropout = nn.Dropout(0.5)

    def forward(self, images):
        self.calls += 1
        return self.dropout(self.network(images))


def _network() -> nn.Module:
    """A network in a mixed state: some parts train, some are frozen, some have gradients."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = Counts(small_cnn())
    network.train()
    network.network[1].eval()
    for place, weight in enumerate(network.parameters()):
        weight.requires_grad_(place % 2 == 0)
        if place % 3 == 0:
            weight.grad = torch.full_like(weight, 0.5)
    return network


def _state(network: nn.Module) -> list[object]:
    return [
        [(name, module.training) for name, module in network.named_modules()],
        [(name, weight.requires_grad) for name, weight in network.named_parameters()],
        [(name, value.tolist()) for name, value in network.state_dict().items()],
        [None if weight.grad is None else weight.grad.tolist() for weight in network.parameters()],
    ]


def _generators() -> list[object]:
    return [random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()]


def _inputs(network: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    victim = Victim(network)
    with frozen(victim):
        return images, victim.logits(images).argmax(dim=1)


@pytest.mark.parametrize("attack", ATTACKS, ids=NAMES)
def test_everything_is_as_before(attack):
    network = _network()
    images, labels = _inputs(network)
    before, kept = _state(network), images.clone()
    generators = _generators()
    attack(network, images, labels, epsilons=[0.05, 0.1])
    assert _generators() == generators
    assert _state(network) == before
    assert torch.equal(images, kept)


@pytest.mark.parametrize("attack", ATTACKS, ids=NAMES)
@pytest.mark.parametrize("call", [1, 2, 3])
def test_also_when_the_network_breaks_down(attack, call):
    inner = _network()
    images, labels = _inputs(inner)
    network = BreaksDown(inner, call=call)
    network.train()
    inner.network[1].eval()
    before, generators, level = _state(network), _generators(), logging.getLogger("art").level
    with pytest.raises(BreaksDownError):
        attack(network, images, labels, epsilons=[0.05, 0.1])
    assert _state(network) == before
    assert _generators() == generators
    assert logging.getLogger("art").level == level


@pytest.mark.parametrize("attack", [PGD(steps=2), Noise(), ArtPGD(steps=2)])
def test_the_callers_random_state_does_not_matter(attack, cnn, right):
    images, labels = right[0][:6], right[1][:6]
    found = []
    for seed in (0, 1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            state = np.random.get_state()
            np.random.seed(seed)
            found.append(attack(cnn, images, labels, epsilons=[0.1])[0].adversarial)
            np.random.set_state(state)
    assert torch.equal(*found)


def test_the_network_is_in_eval_mode_and_frozen_meanwhile():
    network, modes, flags = _network(), [], []
    images, labels = _inputs(network)

    def look(module, _):
        modes.append(any(part.training for part in module.modules()))
        flags.append(any(weight.requires_grad for weight in module.parameters()))

    network.register_forward_pre_hook(look)
    BIM(steps=3)(network, images, labels, epsilons=[1e-4])
    assert len(modes) > 3
    assert not any(modes)
    assert not any(flags)
