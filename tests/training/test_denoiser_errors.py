"""What the recipes `denoiser` and `block-switching` refuse."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor, nn

from robench.errors import UserError
from robench.models.autoencoder import DenoisedClassifier, DenoisingAutoencoder
from robench.training.block_switching import block_switching
from robench.training.denoiser import denoiser

from .stand_ins import Recorder, small_network, striped_data
from .test_block_switching_recipe import network as switching_network
from .test_denoiser import network as denoised_network

ON_CPU: dict[str, Any] = {"device": "cpu", "seed": 0}
NETWORKS = {denoiser: denoised_network, block_switching: switching_network}
RECIPES = list(NETWORKS)

SHARED = [
    ("batch_size", 1), ("optimizer", "lion"), ("learning_rate", 0.0), ("weight_decay", -1.0),
    ("momentum", 1.0), ("schedule", "step"), ("class_weights", "yes"), ("patience", 0),
    ("denoiser_epochs", 0), ("denoiser_epochs", 1.5), ("denoiser_learning_rate", 0.0),
    ("denoiser_learning_rate", "0.1"), ("corruption", "pgd"), ("corruption", None),
    ("epsilons", []), ("epsilons", 0.1), ("epsilons", None),
]  # fmt: skip
OWN = [
    (denoiser, "classifier_epochs", -1), (denoiser, "fine_tune_epochs", True),
    (denoiser, "fine_tune_learning_rate", -1e-3), (block_switching, "sub_model_epochs", 0),
    (block_switching, "switching_epochs", 0), (block_switching, "switching_learning_rate", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("recipe", "name", "value"),
    [(recipe, name, value) for recipe in RECIPES for name, value in SHARED] + OWN,
)
def test_unfit_settings_are_named(recipe: Any, name: str, value: object) -> None:
    monitor = Recorder()
    with pytest.raises(UserError, match=f"parameter '{name}'") as caught:
        recipe(NETWORKS[recipe](), striped_data(), **ON_CPU, monitor=monitor, **{name: value})
    assert f"got {value!r}" in str(caught.value)
    assert "expected" in str(caught.value)
    assert monitor.batches == []


@pytest.mark.parametrize("value", [0.0, -0.1, 1.1, "0.1", float("nan")])
@pytest.mark.parametrize("recipe", RECIPES)
def test_an_epsilon_that_is_none(recipe: Any, value: object) -> None:
    with pytest.raises(UserError, match="parameter 'epsilons'") as caught:
        recipe(NETWORKS[recipe](), striped_data(), **ON_CPU, epsilons=[0.1, value])
    assert f"got {value!r}" in str(caught.value)


class Half(nn.Module):
    """A denoiser with nothing behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.denoiser = nn.Identity()


@pytest.mark.parametrize("network", [small_network(), Half(), nn.Linear(4, 2)])
def test_a_network_without_denoiser_is_told_which_fit(network: nn.Module) -> None:
    with pytest.raises(UserError, match="recipe 'denoiser' trains") as caught:
        denoiser(network, striped_data(), **ON_CPU)
    assert f"got '{type(network).__name__}'" in str(caught.value)
    assert "autoencoder-resnet34, aebs" in str(caught.value)


@pytest.mark.parametrize("network", [
    small_network(), DenoisedClassifier(nn.Identity(), small_network()), Half(),
])  # fmt: skip
def test_a_network_without_channels_is_told_which_fits(network: nn.Module) -> None:
    with pytest.raises(UserError, match="recipe 'block-switching' trains") as caught:
        block_switching(network, striped_data(), **ON_CPU)
    assert f"got '{type(network).__name__}'" in str(caught.value)
    assert "the model aebs" in str(caught.value)


class Smaller(nn.Module):
    """Gives back images of half the size."""

    def forward(self, images: Tensor) -> Tensor:
        return images[..., ::2, ::2]


@pytest.mark.parametrize(("front", "told"), [
    (DenoisingAutoencoder(3, width=4), "does not take the images of the data set, got [1, 8, 8]"),
    (nn.Conv2d(1, 3, 1), "another shape of [1, 8, 8], got [3, 8, 8]"),
    (Smaller(), "another shape of [1, 8, 8], got [1, 4, 4]"),
])  # fmt: skip
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_denoiser_of_other_images_is_told_before_training(
    recipe: Any, front: nn.Module, told: str
) -> None:
    network, monitor = NETWORKS[recipe](), Recorder()
    network.denoiser = front
    with pytest.raises(UserError) as caught:
        recipe(network, striped_data(), **ON_CPU, monitor=monitor)
    assert told in str(caught.value)
    assert "image size and number of channels" in str(caught.value)
    assert monitor.batches == []
