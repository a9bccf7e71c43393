"""What the recipe `invgan` refuses."""

from __future__ import annotations

import pytest
import torch

from robench.errors import UserError
from robench.training.gan_losses import held
from robench.training.invgan import invgan

from .stand_ins import ArrayData, same_bits, small_network, striped_data
from .test_invgan_recipe import small_invgan


@pytest.mark.parametrize(("name", "value"), [
    ("gan_epochs", -1), ("gan_epochs", 1.0), ("encoder_epochs", None), ("classifier_epochs", 0),
    ("batch_size", 1), ("gan_learning_rate", 0.0), ("encoder_learning_rate", "fast"),
    ("learning_rate", -1.0), ("weight_decay", -0.1), ("schedule", "step"), ("patience", 0),
    ("latent_weight", -1.0), ("image_weight", float("nan")), ("image_margin", None),
    ("classifier_images", "generated"), ("class_weights", "some"),
])  # fmt: skip
def test_unfit_parameters_are_named(name: str, value: object) -> None:
    with pytest.raises(UserError, match=f"parameter '{name}'") as caught:
        invgan(small_invgan(), striped_data(), device="cpu", seed=0, **{name: value})
    assert f"got {value!r}" in str(caught.value)


def test_another_network_is_told_which_model_fits() -> None:
    network = small_network()
    with pytest.raises(UserError, match="got 'Sequential'") as caught:
        invgan(network, ArrayData(train=None), device="cpu", seed=0)
    assert "invgan-resnet34" in str(caught.value)
    assert same_bits(network, small_network())


def test_parts_held_when_something_raises_are_as_before() -> None:
    network = small_invgan().train()
    with pytest.raises(RuntimeError), held(network):
        network.critic(torch.zeros(1, 7, 8, 8))
    assert all(module.training for module in network.modules())
    assert all(weight.requires_grad for weight in network.parameters())
