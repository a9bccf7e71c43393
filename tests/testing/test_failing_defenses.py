"""Defenses that break their contract are caught, by the check that says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import robench
from robench.testing import Check, check_defense


def failed(checks: list[Check]) -> set[str]:
    return {check.name for check in checks if not check.passed}


class Before(nn.Module):
    """A change of the pixels in front of a network."""

    def __init__(self, change: Callable[[Tensor], Tensor], network: nn.Module) -> None:
        super().__init__()
        self.change = change
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(self.change(images))
        return logits


def before(change: Callable[[Tensor], Tensor]) -> Any:
    return lambda network: Before(change, network)


def blur(network: nn.Module, *, size: int = 3) -> nn.Module:
    return nn.Sequential(nn.AvgPool2d(size, stride=1, padding=size // 2), network)


def test_a_good_defense_passes_every_check() -> None:
    checks = check_defense(blur, size=5)
    assert failed(checks) == set()
    assert len(checks) == 11


def in_place(images: Tensor) -> Tensor:
    return images if images.requires_grad else images.mul_(0.5)


def noisy_weights(network: nn.Module) -> nn.Module:
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(1.1)
    return network


def hidden(network: nn.Module) -> nn.Module:
    held = [network.eval()]

    class Hidden(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = held[0](images)
            return logits

    return Hidden()


def drawn_when_built(network: nn.Module) -> nn.Module:
    shift = float(np.random.rand())
    return Before(lambda images: images * (0.5 + shift), network)


class StaysInTraining(nn.Sequential):
    def train(self, mode: bool = True) -> StaysInTraining:
        super().train(True)
        return self


BAD = {
    "NaN": (before(lambda images: images / 0), {"logits"}),
    "half the images": (before(lambda images: images[::2]), {"logits"}),
    "rounds without a gradient": (
        before(lambda images: (images * 8).round() / 8), {"gradient reaches the input"}
    ),
    "the input changed": (before(in_place), {"leaves its input alone"}),
    "the weights changed": (noisy_weights, {"leaves the network's weights"}),
    "the network hidden": (hidden, {"eval mode reaches the network"}),
    "drawn when it is built": (drawn_when_built, {"the same in a second run"}),
    "the batch's mean": (
        before(lambda images: images - images.mean(dim=0)), {"no batch mates"}
    ),
    "no module": (lambda network: network.forward, {"builds"}),
    "colour only": (
        lambda network: nn.Sequential(nn.Conv2d(3, 3, 1), network), {"logits"}
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_defense_fails_its_check_and_no_other(case: str) -> None:
    factory, expected = BAD[case]
    with torch.random.fork_rng(devices=[]):
        assert failed(check_defense(factory)) == expected


def test_training_mode_that_stays_is_caught() -> None:
    assert "eval mode reaches the network" in failed(check_defense(StaysInTraining))


def test_a_defense_without_gradient_has_to_say_so() -> None:
    rounding = before(lambda images: (images * 8).round() / 8)
    rounding.differentiable = False
    checks = check_defense(rounding)
    assert failed(checks) == set()
    assert [check.name for check in checks if not check.applies] == ["gradient reaches the input"]


def test_a_stochastic_defense_has_to_say_so() -> None:
    noise = before(lambda images: images + 0.1 * torch.rand_like(images))
    assert "deterministic in eval mode" in failed(check_defense(noise))
    noise.stochastic = True
    checks = check_defense(noise)
    assert failed(checks) == set()
    assert [check.name for check in checks if not check.applies] == [
        "deterministic in eval mode", "the same in a second run", "no batch mates",
    ]


def test_a_card_that_says_otherwise_than_the_callable_is_caught() -> None:
    factory = robench.card(summary="blur", traits={"differentiable": False})(
        before(lambda images: images)
    )
    factory.differentiable = True
    assert failed(check_defense(factory)) == {"traits"}
    factory.differentiable = "yes"
    assert "traits" in failed(check_defense(factory))


def test_grey_images_may_be_declined() -> None:
    def colour_only(network: nn.Module) -> nn.Module:
        if next(network.parameters()).shape[1] == 1:
            raise robench.UserError("colour only")
        return network

    checks = check_defense(colour_only)
    assert failed(checks) == set()
    assert "declined 1 channels: colour only" in checks[2].message


def test_a_defense_that_declines_everything_fails() -> None:
    def never(network: nn.Module) -> nn.Module:
        raise robench.UserError("never")

    assert failed(check_defense(never)) == {"builds"}
