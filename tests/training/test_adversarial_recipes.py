"""What all recipes that craft images keep: no traces, resumption, cards, and more robustness."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import robench
from robench.errors import UserError
from robench.registry import Registry
from robench.training.adversarial import AdversarialObjective
from robench.training.fgsm_at import fgsm_at
from robench.training.mart import Mart, mart
from robench.training.meddef_at import meddef_at
from robench.training.mixed_at import mixed_at
from robench.training.pgd_at import PgdImages, pgd_at
from robench.training.standard import standard
from robench.training.trades import Trades, trades

from .stand_ins import (
    ArrayData,
    ArraySplit,
    InterruptedByTestError,
    Recorder,
    digits_data,
    same_bits,
    small_network,
    striped_data,
)
from .test_craft import adversary, batch, seeded
from .test_meddef_at import objective as meddef_objective
from .test_mixed_at import objective as mixed_objective
from .test_recipes import EPSILON, accuracies
from .test_tvl import EPOCH

ON_CPU: dict[str, Any] = {"device": "cpu", "seed": 0}
SHORT: dict[str, Any] = {**ON_CPU, "epochs": 3, "batch_size": 8, "validation_steps": 2}
AWP = {"gamma": 0.02, "warm_up": 1}
BRIEF = {"warm_up_epochs": 1, "aggressive_epochs": 1}
RECIPES = {
    "pgd-at, awp": partial(pgd_at, steps=2, awp=AWP, **SHORT),
    "trades": partial(trades, steps=2, **SHORT),
    "trades, awp": partial(trades, steps=2, awp=AWP, **SHORT),
    "mart": partial(mart, steps=2, **SHORT),
    "mart, awp": partial(mart, steps=2, awp=AWP, **SHORT),
    "fgsm-at": partial(fgsm_at, **SHORT),
    "meddef-at": partial(meddef_at, steps=2, **BRIEF, **SHORT),
    "meddef-at, awp": partial(meddef_at, steps=2, awp=AWP, **BRIEF, **SHORT),
    "mixed-at": partial(mixed_at, steps=2, jsma_steps=2, **SHORT),
}


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("stop", [{"stop_after_epoch": 1}, {"stop_at_batch": (3, 2)}])
def test_taken_up_again_it_ends_in_the_same_bits(name: str, stop: dict[str, Any]) -> None:
    recipe, data, undisturbed = RECIPES[name], striped_data(17), Recorder()
    expected = recipe(small_network(), data, monitor=undisturbed)
    recorder = Recorder(**stop)
    with pytest.raises(InterruptedByTestError):
        recipe(small_network(), data, monitor=recorder)
    torch.rand(3)
    again = Recorder(stored=recorder.stored)
    resumed = recipe(small_network(dropout=0.3), data, monitor=again)
    assert same_bits(resumed, expected)
    last = again.load().network
    assert all(torch.equal(value, last[name]) for name, value in undisturbed.load().network.items())
    for one, other in zip(
        [*recorder.reports, *again.reports], undisturbed.reports, strict=True
    ):
        assert replace(one, seconds=0.0, seconds_left=0.0) == replace(
            other, seconds=0.0, seconds_left=0.0
        )
    assert all(report.robust_accuracy is not None for report in undisturbed.reports)
    assert {report.criterion for report in undisturbed.reports} == {"robust validation accuracy"}


OBJECTIVES: dict[str, Callable[[], AdversarialObjective]] = {
    "pgd": lambda: PgdImages(training=adversary(), validation=adversary()),
    "trades": lambda: Trades(training=adversary(), validation=adversary(), beta=6.0),
    "mart": lambda: Mart(training=adversary(), validation=adversary(), beta=5.0),
    "meddef": meddef_objective,
    "mixed": mixed_objective,
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_crafting_leaves_no_trace(name: str) -> None:
    network = small_network().train()
    network[2].eval()
    network[1].weight.requires_grad_(False)
    images, labels = batch()
    functional.cross_entropy(network(images), labels).backward()
    modes = [module.training for module in network.modules()]
    flags = [weight.requires_grad for weight in network.parameters()]
    gradients = [None if weight.grad is None else weight.grad.clone()
                 for weight in network.parameters()]
    state = {key: value.clone() for key, value in network.state_dict().items()}
    kept = images.clone()

    during: list[bool] = []
    network[0].register_forward_hook(lambda *_: during.append(
        network.training or any(weight.requires_grad for weight in network.parameters())
    ))
    crafted = OBJECTIVES[name]().crafted(
        network, images, labels, replace(EPOCH, generator=seeded())
    )
    assert during
    assert not any(during), "in eval mode, weights as constants"
    assert crafted.dtype == torch.float32
    assert not crafted.requires_grad
    assert not torch.equal(crafted, images)
    assert torch.equal(images, kept)
    assert [module.training for module in network.modules()] == modes
    assert [weight.requires_grad for weight in network.parameters()] == flags
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    for weight, gradient in zip(network.parameters(), gradients, strict=True):
        assert (weight.grad is None) == (gradient is None)
        assert gradient is None or torch.equal(weight.grad, gradient)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_update_has_the_gradient_of_the_loss_on_constant_images(name: str) -> None:
    images, labels = batch()
    objective = OBJECTIVES[name]()
    network, other = (small_network(dropout=0.0).train() for _ in range(2))
    loss, _ = objective.loss(network, images, labels, replace(EPOCH, generator=seeded()))
    loss.backward()
    crafted = objective.crafted(other, images, labels, replace(EPOCH, generator=seeded()))
    plain, _ = objective.loss_on(
        other, images, crafted.clone(), labels, replace(EPOCH, generator=seeded())
    )
    plain.backward()
    for weight, expected in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(weight.grad, expected.grad)
    assert network.training


CARDS = ["trades", "mart", "fgsm-at", "meddef-at", "mixed-at", "gaussian", "distillation",
         "wgan-augmented", "pgd-at"]  # fmt: skip


@pytest.mark.parametrize("name", CARDS)
def test_cards_state_the_signature(name: str) -> None:
    entry = Registry.discover().get("recipe", name)
    parameters = inspect.signature(entry.load()).parameters
    assert [*parameters][:5] == ["network", "dataset", "device", "seed", "monitor"]
    defaults = {key: each.default for key, each in [*parameters.items()][5:]}
    stated = {key: list(value) if isinstance(value, tuple) else value
              for key, value in defaults.items()}
    assert entry.card.params == stated
    for key, value in entry.card.published.items():
        if key in stated:
            assert stated[key] == value
        elif key.removesuffix("_255") in stated:
            assert stated[key.removesuffix("_255")] * 255 == pytest.approx(value)


SHARED = [("epochs", 0), ("batch_size", 1), ("optimizer", "adm"), ("learning_rate", -1.0)]
ATTACKS = [("epsilon", 1.01), ("epsilon", 0.0), ("steps", 0), ("step_size", 0.0),
           ("validation_steps", 0), ("awp", 0.01)]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [*SHARED, *ATTACKS, ("beta", -1.0), ("norm", "l1")])
@pytest.mark.parametrize("recipe", [trades, mart])
def test_unfit_settings(recipe: Callable[..., nn.Module], name: str, value: object) -> None:
    network = small_network()
    with pytest.raises(UserError, match=f"parameter '{name}'"):
        recipe(network, striped_data(), **ON_CPU, **{name: value})
    assert same_bits(network, small_network())


def fewer_digits() -> ArrayData:
    whole = digits_data()
    cut = [ArraySplit(split.images[:count], split.labels[:count])
           for split, count in ((whole.train, 500), (whole.validation, 100), (whole.test, 300))]
    return ArrayData(*cut, num_classes=10, name="digits")


ON_DIGITS: dict[str, Any] = {**ON_CPU, "epochs": 5, "learning_rate": 0.01, "batch_size": 32}


@pytest.fixture(scope="module")
def undefended() -> float:
    network = small_network(outputs=10, dropout=0.1)
    standard(network, fewer_digits(), **ON_DIGITS)
    return accuracies(network, fewer_digits().test)[1]


STRONG = {"epsilon": EPSILON, "step_size": 0.05, "steps": 4, "validation_steps": 4}
RISES = {
    "pgd-at, awp": partial(pgd_at, **STRONG, awp={"gamma": 0.005}),
    "trades": partial(trades, **STRONG),
    "mart": partial(mart, **STRONG),
    "fgsm-at": partial(fgsm_at, epsilon=EPSILON, validation_steps=4),
    "meddef-at": partial(
        meddef_at, steps=4, validation_steps=4, step_limit=0.05, warm_up_epochs=1,
        aggressive_epochs=1, warm_up_epsilons=(0.05, 0.1), aggressive_epsilons=(0.1, 0.2),
        stabilization_epsilon=EPSILON,
    ),
}


@pytest.mark.parametrize("name", RISES)
def test_networks_become_more_robust(name: str, undefended: float) -> None:
    recorder = Recorder()
    network = RISES[name](
        small_network(outputs=10, dropout=0.1), fewer_digits(), **ON_DIGITS, monitor=recorder
    )
    clean, robust = accuracies(network, fewer_digits().test)
    assert clean > 0.75
    assert robust > undefended + 0.15
    kept = [report for report in recorder.reports if report.selected][-1]
    assert kept.robust_accuracy == max(report.robust_accuracy for report in recorder.reports)
    assert all(report.robust_accuracy <= report.validation_accuracy for report in recorder.reports)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*RISES, "mixed-at"])
def test_larger_networks_become_more_robust(name: str) -> None:
    data = robench.dataset("digits", image_size=16)
    recipes = {**RISES, "mixed-at": partial(mixed_at, **STRONG, jsma_steps=4), "standard": standard}
    images = torch.from_numpy(data.test.images[:]).permute(0, 3, 1, 2).float() / 255
    found: dict[str, float] = {}
    for each in ("standard", name):
        network = robench.model("small-cnn", num_classes=10, in_channels=1, image_size=16, seed=0)
        recipes[each](network, data, **ON_CPU, epochs=8, learning_rate=3e-3)
        found[each] = _robust(network, images, torch.from_numpy(data.test.labels[:]))
    assert found[name] > found["standard"] + 0.2


def _robust(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    attack = robench.attack("pgd", steps=20, step_size=0.03)
    (found,) = attack(network, images, labels, epsilons=[EPSILON])
    return float((found.prediction == labels).float().mean())
