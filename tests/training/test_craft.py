from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional

from robench.attacks.balls import distances
from robench.training.craft import Adversary, craft

from .stand_ins import small_network


def adversary(**settings: object) -> Adversary:
    base = {
        "epsilon": 0.1,
        "step_size": 0.03,
        "steps": 5,
        "norm": "linf",
        "random_start": True,
    }
    return Adversary(**base | settings)


def batch(count: int = 12, *, channels: int = 1, seed: int = 0) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    images = torch.rand(count, channels, 8, 8, generator=random)
    return images, torch.randint(0, 2, (count,), generator=random)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Linear(nn.Module):
    """One logit w·x: the strongest perturbation is known."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(64, generator=seeded(5)))

    def forward(self, images: Tensor) -> Tensor:
        return (images.flatten(1) @ self.weight)[:, None]


@pytest.mark.parametrize("random_start", [True, False])
def test_linf_reaches_the_best_corner_of_a_linear_network(random_start: bool) -> None:
    images, labels = batch()
    network = Linear()
    found = adversary(steps=10, random_start=random_start).images(network, images, labels, seeded())
    away = torch.where(labels == 1, -1.0, 1.0)[:, None] * network.weight.detach().sign()
    best = (images + 0.1 * away.reshape(images.shape)).clamp(0.0, 1.0)
    assert torch.allclose(found, best, atol=1e-6)


def test_l2_reaches_the_best_point_of_a_linear_network() -> None:
    images, labels = batch()
    images = 0.4 + 0.2 * images  # the ball lies inside the box
    network = Linear()
    found = adversary(norm="l2", epsilon=0.3, step_size=0.2, steps=30).images(
        network, images, labels, seeded()
    )
    unit = network.weight.detach() / network.weight.detach().norm()
    away = torch.where(labels == 1, -1.0, 1.0)[:, None] * unit
    assert torch.allclose(found, images + 0.3 * away.reshape(images.shape), atol=2e-3)


def test_one_step_without_random_start_is_fgsm() -> None:
    images, labels = batch(channels=3)
    network = small_network(channels=3).eval()
    leaf = images.clone().requires_grad_(True)
    functional.cross_entropy(network(leaf), labels).backward()
    expected = (images + 0.1 * leaf.grad.sign()).clamp(0.0, 1.0)
    found = adversary(steps=1, step_size=0.1, random_start=False).images(
        network, images, labels, seeded()
    )
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("epsilon", [8 / 255, 0.5])
def test_images_stay_in_the_ball_and_the_box(norm: str, epsilon: float) -> None:
    images, labels = batch()
    images[:, :, :2] = images[:, :, :2].round()
    found = adversary(norm=norm, epsilon=epsilon, step_size=epsilon).images(
        small_network(), images, labels, seeded()
    )
    assert 0.0 <= float(found.min()) <= float(found.max()) <= 1.0
    reached = distances(images.double(), found.double(), norm)
    assert bool((reached <= epsilon).all())
    assert bool((reached > 0.9 * epsilon).all()) or norm == "linf"
    assert not found.requires_grad


def test_wrong_images_are_attacked_too_and_the_inputs_kept() -> None:
    images, labels = batch()
    network = small_network().eval()
    wrong = network(images).argmax(dim=1) != labels
    assert 0 < int(wrong.sum()) < len(labels)
    kept = images.clone()
    found = adversary(random_start=False).images(network, images, labels, seeded())
    assert torch.equal(images, kept)
    moved = distances(images, found, "linf")
    assert bool((moved > 0.09).all())
    with torch.no_grad():
        before, after = (
            functional.cross_entropy(network(pixels), labels, reduction="none")
            for pixels in (images, found)
        )
    assert bool((after > before).all())


def test_linf_start_is_uniform() -> None:
    images = torch.full((20, 1, 8, 8), 0.5)
    offsets = start(images, "linf") / 0.1
    assert stats.kstest(offsets.flatten(), "uniform", args=(-1, 2)).pvalue > 0.01


def test_l2_start_is_uniform_in_the_ball() -> None:
    images = torch.full((400, 1, 2, 2), 0.5)
    offsets = start(images, "l2") / 0.1
    radii = np.linalg.norm(offsets, axis=1)
    assert stats.kstest(radii**4, "uniform").pvalue > 0.01
    angles = np.arctan2(offsets[:, 0], offsets[:, 1])
    assert stats.kstest(angles, "uniform", args=(-np.pi, 2 * np.pi)).pvalue > 0.01


def start(images: Tensor, norm: str) -> np.ndarray:
    """The offsets a network is shown first, N×pixels."""
    seen: list[Tensor] = []
    network = Spy(lambda _, pixels: seen.append(pixels.detach().clone()))
    labels = torch.zeros(len(images), dtype=torch.int64)
    adversary(norm=norm, steps=1).images(network, images, labels, seeded(3))
    return (seen[0] - images).flatten(1).double().numpy()


class Spy(nn.Module):
    def __init__(self, look: Callable[[nn.Module, Tensor], object]) -> None:
        super().__init__()
        self.inner = small_network()
        self.look = look

    def forward(self, images: Tensor) -> Tensor:
        self.look(self, images)
        return self.inner(images)


def test_random_starts_come_from_the_generator_alone() -> None:
    images, labels = batch()
    network = small_network()
    before = torch.get_rng_state()
    first, again, other = (
        adversary().images(network, images, labels, seeded(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_network_is_in_eval_mode_frozen_and_in_float32_meanwhile() -> None:
    seen: list[tuple[bool, bool, bool, torch.dtype]] = []

    def look(network: nn.Module, pixels: Tensor) -> None:
        training = any(module.training for module in network.modules())
        trainable = any(weight.requires_grad for weight in network.parameters())
        seen.append((training, trainable, torch.is_autocast_enabled("cpu"), pixels.dtype))

    network = Spy(look).train()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        adversary().images(network, *batch(), seeded())
    assert seen == [(False, False, False, torch.float32)] * 5


def test_modes_flags_gradients_and_buffers_are_as_before() -> None:
    network = small_network().train()
    network[2].eval()
    network[4].eval()
    network[1].weight.requires_grad_(False)
    images, labels = batch()
    functional.cross_entropy(network(images), labels).backward()
    modes = [module.training for module in network.modules()]
    flags = [weight.requires_grad for weight in network.parameters()]
    gradients = [
        None if weight.grad is None else weight.grad.clone() for weight in network.parameters()
    ]
    state = {name: value.clone() for name, value in network.state_dict().items()}

    found = adversary().images(network, images, labels, seeded())

    assert not torch.equal(found, images)
    assert [module.training for module in network.modules()] == modes
    assert True in modes
    assert [weight.requires_grad for weight in network.parameters()] == flags
    for weight, gradient in zip(network.parameters(), gradients, strict=True):
        assert (weight.grad is None) == (gradient is None)
        assert gradient is None or torch.equal(weight.grad, gradient)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_modes_are_as_before_after_an_error() -> None:
    def fail(network: nn.Module, _: Tensor) -> None:
        raise ZeroDivisionError

    network = Spy(fail).train()
    with pytest.raises(ZeroDivisionError):
        adversary().images(network, *batch(), seeded())
    assert all(module.training for module in network.modules())
    assert all(weight.requires_grad for weight in network.parameters())


def test_no_gradient_of_a_weight_is_computed() -> None:
    class Counting(torch.autograd.Function):
        @staticmethod
        def forward(context, pixels, weight):
            context.save_for_backward(pixels, weight)
            return pixels * weight

        @staticmethod
        def backward(context, gradient):
            asked.append(context.needs_input_grad)
            return gradient * context.saved_tensors[1], None

    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(2.0))

        def forward(self, images: Tensor) -> Tensor:
            return Counting.apply(images, self.weight).flatten(1)[:, :2]

    asked: list[tuple[bool, bool]] = []
    adversary(steps=3).images(Scale(), *batch(), seeded())
    assert asked == [(True, False)] * 3


def test_craft_and_adversary_are_the_same() -> None:
    images, labels = batch()
    network = small_network()
    found = craft(
        network, images, labels,
        epsilon=0.1, step_size=0.03, steps=5, norm="linf", random_start=True, generator=seeded(),
    )  # fmt: skip
    assert torch.equal(found, adversary().images(network, images, labels, seeded()))
