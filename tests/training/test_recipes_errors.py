from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from robench.errors import UserError, VictimError
from robench.training.pgd_at import pgd_at
from robench.training.standard import standard

from .stand_ins import ArrayData, ArraySplit, small_network, striped_data, stripes

ON_CPU = {"device": "cpu", "seed": 0}

SHARED = [
    ("epochs", 0),
    ("epochs", 2.0),
    ("epochs", True),
    ("batch_size", 1),
    ("optimizer", "adm"),
    ("optimizer", None),
    ("learning_rate", 0.0),
    ("learning_rate", -1e-3),
    ("learning_rate", float("nan")),
    ("learning_rate", None),
    ("learning_rate", "0.1"),
    ("weight_decay", -1.0),
    ("momentum", 1.0),
    ("schedule", "step"),
    ("class_weights", "balance"),
    ("patience", 0),
]
ADVERSARIAL = [
    ("epsilon", 0.0),
    ("epsilon", -0.1),
    ("epsilon", 1.01),
    ("epsilon", 8),
    ("epsilon", float("inf")),
    ("steps", 0),
    ("steps", 1.5),
    ("step_size", 0.0),
    ("step_size", -0.1),
    ("norm", "l1"),
    ("norm", "Linf"),
    ("random_start", "yes"),
    ("random_start", 1),
    ("validation_steps", 0),
]


@pytest.mark.parametrize(("name", "value"), SHARED)
@pytest.mark.parametrize("recipe", [standard, pgd_at])
def test_shared_parameters(recipe, name: str, value: object) -> None:  # type: ignore[no-untyped-def]
    network = small_network()
    with pytest.raises(UserError, match=f"parameter '{name}'") as caught:
        recipe(network, striped_data(), **ON_CPU, **{name: value})
    assert f"got {value!r}" in str(caught.value)
    assert "expected" in str(caught.value)


@pytest.mark.parametrize(("name", "value"), ADVERSARIAL)
def test_adversarial_parameters(name: str, value: object) -> None:
    with pytest.raises(UserError, match=f"parameter '{name}'") as caught:
        pgd_at(small_network(), striped_data(), **ON_CPU, **{name: value})
    assert f"got {value!r}" in str(caught.value)


@pytest.mark.parametrize("epsilon", [0.0, -1.0, float("inf")])
def test_l2_epsilon(epsilon: float) -> None:
    with pytest.raises(UserError, match="parameter 'epsilon'"):
        pgd_at(small_network(), striped_data(), **ON_CPU, norm="l2", epsilon=epsilon)


def test_the_nearest_name_is_told() -> None:
    with pytest.raises(UserError, match="did you mean 'adamw'"):
        standard(small_network(), striped_data(), **ON_CPU, optimizer="adammw")


@pytest.mark.parametrize("train", [None, stripes(0, seed=0)])
def test_no_training_images(train: ArraySplit | None) -> None:
    data = ArrayData(train=train, test=stripes(4, seed=0), name="x-rays")
    with pytest.raises(UserError, match="data set 'x-rays' has no training images"):
        standard(small_network(), data, **ON_CPU)


def test_a_class_without_images() -> None:
    data = replace(striped_data(), num_classes=3)
    with pytest.raises(UserError, match="training split: class 2 has no images"):
        standard(small_network(outputs=3), data, **ON_CPU)


@pytest.mark.parametrize("outputs", [3, 5])
def test_the_wrong_number_of_logits(outputs: int) -> None:
    with pytest.raises(VictimError, match=f"got {outputs}"):
        standard(small_network(outputs=outputs), striped_data(), **ON_CPU)


def test_one_logit_for_three_classes() -> None:
    split = stripes(12, seed=0)
    split.labels[:3] = 2
    data = ArrayData(train=split, num_classes=3)
    with pytest.raises(VictimError, match="wrong number of logits"):
        standard(small_network(outputs=1), data, **ON_CPU)


def test_nothing_to_train() -> None:
    network = small_network().requires_grad_(False)
    with pytest.raises(VictimError, match="no weights to train"):
        standard(network, striped_data(), **ON_CPU)


def diverging(*, epochs: int, learning_rate: float, validation: bool) -> None:
    network = nn.Sequential(nn.Flatten(), Magnified(), nn.Linear(64, 8), nn.Linear(8, 2))
    standard(
        network, striped_data(validation=validation), **ON_CPU, epochs=epochs, optimizer="sgd",
        learning_rate=learning_rate, schedule="constant",
    )  # fmt: skip


class Magnified(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images * 1e4


@pytest.mark.parametrize("validation", [True, False])
def test_a_diverging_training(validation: bool) -> None:
    with pytest.raises(VictimError, match=r"epoch [12], learning rate 1e\+18"):
        diverging(epochs=5, learning_rate=1e18, validation=validation)


def test_the_last_update_is_looked_at_too() -> None:
    with pytest.raises(VictimError, match=r"epoch 1, learning rate 1e\+38"):
        diverging(epochs=1, learning_rate=1e38, validation=False)


class Failing(nn.Module):
    """Linear, NaN from a chosen call on, in train or in eval mode."""

    def __init__(self, *, in_training: bool, call: int) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 2)
        self.in_training = in_training
        self.calls_left = call

    def forward(self, images: Tensor) -> Tensor:
        logits = self.linear(images.flatten(1))
        if self.training == self.in_training:
            self.calls_left -= 1
        return logits * (float("nan") if self.calls_left < 0 else 1.0)


@pytest.mark.parametrize(
    ("in_training", "call", "epoch"),
    [(True, 0, 1), (True, 5, 1), (True, 6, 2), (False, 1, 1), (False, 4, 2)],
)
def test_nan_names_epoch_and_learning_rate(in_training: bool, call: int, epoch: int) -> None:
    network = Failing(in_training=in_training, call=call)
    with pytest.raises(VictimError, match=f"epoch {epoch}, learning rate 0.01: the loss"):
        standard(
            network, striped_data(), **ON_CPU, epochs=4, batch_size=8, learning_rate=0.01,
            schedule="constant",
        )  # fmt: skip


def test_nan_is_seen_before_a_long_epoch_ends() -> None:
    network = Failing(in_training=True, call=0)
    with pytest.raises(VictimError, match="epoch 1"):
        standard(network, striped_data(400), **ON_CPU, batch_size=2)
    assert network.calls_left == -16


def test_the_random_state_is_as_before_after_an_error() -> None:
    network = Failing(in_training=True, call=0)
    before = torch.get_rng_state()
    with pytest.raises(VictimError):
        standard(network, striped_data(), **ON_CPU)
    assert torch.equal(torch.get_rng_state(), before)
