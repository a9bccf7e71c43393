"""Recipes that break their contract are caught, by the check that says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import robench
from robench.testing import Check, check_recipe


def failed(checks: list[Check]) -> set[str]:
    return {check.name for check in checks if not check.passed}


def nudge(network: nn.Module, by: float = 0.01) -> nn.Module:
    """The shortest training: every weight moves a little."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(by)
    return network


def good(network: nn.Module, dataset: Any, *, device: Any, seed: int, epochs: int = 99) -> Any:
    assert epochs == 1, "the suite asks for one epoch"
    assert len(dataset.train) <= 100
    return nudge(network.to(device), 0.01 * (seed + 1)).eval()


def test_a_good_recipe_passes_every_check() -> None:
    checks = check_recipe(good)
    assert failed(checks) == set()
    assert len(checks) == 10


def test_settings_that_are_given_stay() -> None:
    with_two = check_recipe(good, epochs=2)
    assert failed(with_two) == {"trains"}
    assert "the suite asks for one epoch" in with_two[-1].message


def in_place(network: nn.Module, dataset: Any, *, device: Any, seed: int) -> None:
    nudge(network)


def idle(network: nn.Module, dataset: Any, *, device: Any, seed: int) -> nn.Module:
    return network


def diverging(network: nn.Module, dataset: Any, *, device: Any, seed: int) -> nn.Module:
    return nudge(network, float("nan"))


def global_noise(network: nn.Module, dataset: Any, *, device: Any, seed: int) -> nn.Module:
    return nudge(network, float(torch.rand(())))


def global_seed(network: nn.Module, dataset: Any, *, device: Any, seed: int) -> nn.Module:
    np.random.seed(seed)
    return nudge(network, float(np.random.rand()))


def wrapped(network: nn.Module, dataset: Any, *, device: Any, seed: int) -> nn.Module:
    return nn.Sequential(nudge(network))


def augmenting(network: nn.Module, dataset: Any, *, device: Any, seed: int) -> nn.Module:
    dataset.train.images[:] = 255 - dataset.train.images
    return nudge(network)


def cut(network: nn.Module, dataset: Any, *, device: Any, seed: int) -> nn.Module:
    """A head for another number of classes."""
    last = network[-1]
    network[-1] = nn.Linear(last.in_features, 3)
    with torch.no_grad():
        network[-1].weight.fill_(0.1)
        network[-1].bias.fill_(0.1)
    return nudge(network)


BAD = {
    idle: {"weights change"},
    diverging: {"finite", "works afterwards", "repeatable under a seed"},
    global_noise: {"repeatable under a seed", "leaves the global random state"},
    global_seed: {"leaves the global random state"},
    wrapped: {"fits a fresh network"},
    augmenting: {"leaves the data alone"},
    cut: {"fits a fresh network", "works afterwards", "leaves the global random state"},
}


@pytest.mark.parametrize("recipe", BAD, ids=lambda recipe: recipe.__name__)
def test_a_bad_recipe_fails_its_check_and_no_other(recipe: Any) -> None:
    assert failed(check_recipe(recipe)) == BAD[recipe]


def test_a_recipe_may_return_nothing_but_nothing_else_than_a_network() -> None:
    assert failed(check_recipe(in_place)) == set()

    def told(network: nn.Module, dataset: Any, *, device: Any, seed: int) -> Any:
        return {"accuracy": 1.0}

    checks = check_recipe(told)
    assert failed(checks) == {"trains"}
    assert checks[-1].message == "got dict, expected the trained network"


def test_a_recipe_that_does_not_train_has_to_say_so() -> None:
    card = robench.card(summary="nothing", traits={"trains": False})
    assert failed(check_recipe(card(lambda network, dataset, *, device, seed: network))) == set()
