"""Models that break their contract are caught, by the check that says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import robench
from robench.testing import Check, check_model


def failed(checks: list[Check]) -> set[str]:
    return {check.name for check in checks if not check.passed}


class Linear(nn.Module):
    """Four averages per channel to logits: the smallest model that keeps the contract."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.linear = nn.Linear(4 * in_channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.pool(images).flatten(1))
        return logits


def good(*, num_classes: int, in_channels: int, image_size: tuple[int, int],
         width: int = 3) -> nn.Module:
    return Linear(num_classes, in_channels)


def around(change: Callable[[Linear, Tensor], Tensor], **attributes: Any) -> Any:
    """A factory of `Linear` whose forward pass is `change`."""

    class Changed(Linear):
        def forward(self, images: Tensor) -> Tensor:
            return change(self, images)

    def factory(*, num_classes: int, in_channels: int, image_size: tuple[int, int]) -> nn.Module:
        made = Changed(num_classes, in_channels)
        for name, value in attributes.items():
            setattr(made, name, value)
        return made

    return factory


def plain(network: Linear, images: Tensor) -> Tensor:
    return Linear.forward(network, images)


def test_a_good_model_passes_every_check() -> None:
    checks = check_model(good, width=2)
    assert failed(checks) == set()
    assert len(checks) == 12


def in_place(network: Linear, images: Tensor) -> Tensor:
    if not images.requires_grad:
        images.sub_(0.5)
    return plain(network, images)


def mixed(network: Linear, images: Tensor) -> Tensor:
    logits = plain(network, images)
    return logits - logits.mean(dim=0)


BAD = {
    "NaN": (around(lambda net, images: plain(net, images) / 0), {"finite"}),
    "one logit too many": (
        around(lambda net, images: nn.functional.pad(plain(net, images), (0, 1))), {"logits"}
    ),
    "a single image's logits": (around(lambda net, images: plain(net, images)[0]), {"logits"}),
    "a tuple": (around(lambda net, images: (plain(net, images),)), {"logits"}),  # type: ignore[arg-type,return-value]
    "no gradient": (
        around(lambda net, images: plain(net, images.detach())), {"gradient reaches the input"}
    ),
    "the input changed": (around(in_place), {"leaves its input alone"}),
    "mean alone": (around(plain, mean=[0.5]), {"mean and std"}),
    "too many means": (around(plain, mean=[0.5] * 2, std=[0.5] * 2), {"mean and std"}),
    "std of zero": (around(plain, mean=[0.5] * 3, std=[0.0] * 3), {"mean and std"}),
    "rows mixed in eval mode": (
        around(mixed), {"no batch mates in eval mode", "batch of one"}
    ),
    "squeezed for a single image": (
        around(lambda net, images: plain(net, images).squeeze(0)), {"batch of one"}
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_model_fails_its_check_and_no_other(case: str) -> None:
    factory, expected = BAD[case]
    assert failed(check_model(factory)) == expected


def test_batch_statistics_in_eval_mode_are_caught() -> None:
    def factory(*, num_classes: int, in_channels: int, image_size: tuple[int, int]) -> nn.Module:
        norm = nn.BatchNorm2d(in_channels, track_running_stats=False)
        return nn.Sequential(norm, Linear(num_classes, in_channels))

    assert failed(check_model(factory)) == {"no batch mates in eval mode", "batch of one"}


def _noisy(network: Linear, images: Tensor) -> Tensor:
    return plain(network, images) + torch.rand(len(images), 1)


def test_a_stochastic_model_has_to_say_so() -> None:
    factory = around(_noisy)
    assert "deterministic in eval mode" in failed(check_model(factory))
    checks = check_model(robench.card(summary="noisy", traits={"stochastic": True})(factory))
    assert failed(checks) == set()
    assert {check.name for check in checks if not check.applies} == {
        "deterministic in eval mode", "no batch mates in eval mode",
    }


def test_weights_that_the_seed_does_not_decide_are_caught() -> None:
    def factory(*, num_classes: int, in_channels: int, image_size: tuple[int, int]) -> nn.Module:
        made = Linear(num_classes, in_channels)
        with torch.no_grad():
            made.linear.bias.copy_(torch.from_numpy(np.random.rand(num_classes)))
        return made

    assert failed(check_model(factory)) == {"same seed, same weights"}


def test_weights_outside_the_state_dict_are_caught() -> None:
    def factory(*, num_classes: int, in_channels: int, image_size: tuple[int, int]) -> nn.Module:
        made = Linear(num_classes, in_channels)
        made.shift = torch.rand(num_classes)
        made.register_forward_hook(lambda net, _, logits: logits + net.shift)
        return made

    assert failed(check_model(factory)) == {"saves and loads"}


def test_tensors_that_share_memory_are_caught() -> None:
    def factory(*, num_classes: int, in_channels: int, image_size: tuple[int, int]) -> nn.Module:
        made = Linear(num_classes, in_channels)
        made.register_buffer("tied", made.linear.weight.detach())
        return made

    assert failed(check_model(factory)) == {"saves and loads"}


def test_a_size_may_be_declined_and_is_named() -> None:
    def factory(*, num_classes: int, in_channels: int, image_size: tuple[int, int]) -> nn.Module:
        if in_channels == 1:
            raise robench.UserError("colour only", got=in_channels, expected="3")
        return Linear(num_classes, in_channels)

    checks = check_model(factory)
    assert failed(checks) == set()
    (builds,) = (check for check in checks if check.name == "builds")
    assert "declined 2 classes, 1×32×32: colour only, got 1; expected 3" in builds.message


def test_a_network_for_one_large_size_is_tried_there() -> None:
    def factory(*, num_classes: int, in_channels: int, image_size: tuple[int, int]) -> nn.Module:
        if image_size != (224, 224):
            raise robench.UserError("224 pixels only", got=image_size)
        return Linear(num_classes, in_channels)

    assert failed(check_model(factory)) == set()


def test_a_last_layer_that_starts_as_zeros_is_no_fault_and_hides_none() -> None:
    def zeroed(change: Any) -> Any:
        made = around(change)

        def factory(**shape: Any) -> nn.Module:
            network: nn.Module = made(**shape)
            nn.init.zeros_(network.linear.weight)  # type: ignore[arg-type,union-attr]
            return network

        return factory

    assert failed(check_model(zeroed(plain))) == set()
    assert "no batch mates in eval mode" in failed(check_model(zeroed(mixed)))
