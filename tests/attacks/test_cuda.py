"""What holds on a CPU holds on a GPU: `pytest -m cuda`; the CPU runs the same tests beside it."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch

import robench
from robench import recording
from robench.attacks.balls import PROJECTED, distances
from robench.attacks.losses import cross_entropy
from robench.victim import Victim

from .native_cases import NAMES, UNIT, made, ready
from .searches import BOUNDED, DRAWN, SEARCHES

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.param)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_found_is_found_on_the_cpu_too(name, device, cnn_and_36):
    network, images, labels = cnn_and_36
    there = copy.deepcopy(network).to(device)
    epsilons = [UNIT[made(name).norm] * times for times in (0.5, 3.0)]
    results, here = (
        ready(made(name), each, epsilons)(each, images, labels, epsilons=epsilons)
        for each in (there, network)
    )
    for found, known in zip(results, here, strict=True):
        moved = found.adversarial.cpu()
        with torch.no_grad():
            logits = network(moved)
        lead = logits.gather(1, labels[:, None])[:, 0] - logits.scatter(
            1, labels[:, None], float("-inf")).amax(dim=1)
        clear = lead.abs() > 1e-3
        assert torch.equal((lead < 0)[clear], found.success.cpu()[clear])
        attack = made(name)
        if attack.budget == "fixed" and attack.norm in PROJECTED:
            assert float(distances(images, moved, attack.norm).max()) <= found.epsilon * (1 + 1e-6)
        # Roundings lead a search elsewhere, but not to other findings.
        assert abs(int(found.success.sum()) - int(known.success.sum())) <= 3


def test_epsilon_by_epsilon_the_same_pixels(device, cnn_and_36):
    """Where an attack takes signs of one gradient, pixels differ at most where it is all but 0."""
    network, images, labels = cnn_and_36
    (found,) = robench.attack("fgsm")(
        copy.deepcopy(network).to(device), images, labels, epsilons=[0.1]
    )
    (known,) = robench.attack("fgsm")(network, images, labels, epsilons=[0.1])
    same = (found.adversarial.cpu() - known.adversarial).abs() <= 1e-6
    assert float(same.float().mean()) > 0.999


def test_passes_are_recorded_and_give_the_same_bits(device, cnn_and_36, monkeypatch):
    network, images, labels = cnn_and_36
    monkeypatch.setattr(recording, "_WORTH", float("inf"))
    victim = Victim(network.to(device)).eval().requires_grad_(False)
    images, labels = images.to(device), labels.to(device)
    victim.arrange(images)
    first = victim.gradient(images, labels, cross_entropy)
    for _ in range(2 * recording._PATIENCE + 2):  # tiles may become smaller meanwhile
        last = victim.gradient(images, labels, cross_entropy)
    assert victim._faster is not None
    recorded = list(victim._faster.recordings._made.values())
    assert bool(recorded) == (device.type == "cuda")
    assert all(each is not None for each in recorded)
    for one, other in zip(first, last, strict=True):
        assert torch.equal(one, other)


def waited(attack, network, images, labels, epsilons):
    """How often the host waited for the GPU."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            attack(network, images, labels, epsilons=epsilons)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(each.message) for each in told)


@pytest.mark.cuda
@pytest.mark.parametrize("budget", [None, 10_000])
@pytest.mark.parametrize(("name", "few", "many"), BOUNDED + SEARCHES + DRAWN)
def test_steps_do_not_wait_for_the_gpu(name, few, many, budget, cnn_and_36, monkeypatch):
    network, images, labels = cnn_and_36
    victim = Victim(copy.deepcopy(network).cuda()).eval().requires_grad_(False)
    victim.arrange(images.cuda())
    monkeypatch.setattr(recording, "_PATIENCE", 10**9)  # a recording waits, once
    monkeypatch.setattr(victim._tiling, "candidates", lambda _: [])  # and so does a small piece
    attacks = [robench.attack(name, **settings) for settings in (few, many)]
    if budget is not None:
        attacks = [attack.spending(budget) for attack in attacks]
    # Nothing breaks in a ball so small, so that what follows the steps is the same.
    minimum = attacks[0].budget == "minimum"
    epsilons = None if minimum else [16] if name == "patch" else [1e-5]
    waits = [waited(attack, victim, images.cuda(), labels.cuda(), epsilons) for attack in attacks]
    assert waits[0] == waits[1] > 0  # what is around the steps does wait, and is seen


@pytest.mark.cuda
@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_a_success_in_low_precision_is_one_in_float32(precision, cnn_and_36):
    network, images, labels = cnn_and_36
    there = copy.deepcopy(network).cuda()
    victim = Victim(there, precision=precision).eval().requires_grad_(False)
    victim.arrange(images.cuda())
    for found in robench.attack("pgd")(victim, images, labels, epsilons=[0.05, 0.2]):
        with torch.no_grad():
            wrong = there(found.adversarial).argmax(dim=1).cpu() != labels
        assert torch.equal(found.success.cpu(), wrong)


@pytest.mark.cuda
def test_a_network_that_reads_a_value_is_computed_as_it_is(cnn_and_36):
    network, images, labels = cnn_and_36

    class Reads(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, pixels):
            return self.network(pixels) * (1.0 if float(pixels.amax()) <= 2 else 0.0)

    here = robench.attack("pgd", steps=60)(Reads(), images, labels, epsilons=[0.02])[0]
    there = robench.attack("pgd", steps=60)(Reads().cuda(), images, labels, epsilons=[0.02])[0]
    assert abs(int(here.success.sum()) - int(there.success.sum())) <= 2
