"""A trained network and its images, made once for all tests of attacks."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from .networks import load_digit_images, trained_cnn


@pytest.fixture(scope="session")
def _trained() -> nn.Module:
    return trained_cnn()


@pytest.fixture
def cnn(_trained: nn.Module) -> nn.Module:
    """A small CNN with BatchNorm trained on digits, in eval mode; a fresh copy for each test."""
    return copy.deepcopy(_trained)


@pytest.fixture(scope="session")
def digits() -> tuple[Tensor, Tensor]:
    """64 digits the CNN was not trained on: pixels N×1×8×8 in [0,1], labels."""
    images, labels = load_digit_images()
    return images[1400:1464], labels[1400:1464]


@pytest.fixture(scope="session")
def right(_trained: nn.Module, digits: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Those of `digits` that the CNN gets right."""
    images, labels = digits
    with torch.no_grad():
        rows = torch.eq(_trained(images).argmax(dim=1), labels)
    return images[rows], labels[rows]


@pytest.fixture(scope="session")
def cnn_and_36(
    _trained: nn.Module, right: tuple[Tensor, Tensor]
) -> tuple[nn.Module, Tensor, Tensor]:
    """The CNN and 36 images it gets right, more than a tile, for tests that run many times."""
    return copy.deepcopy(_trained), right[0][:36], right[1][:36]


@pytest.fixture(scope="session")
def cnn_and_8(
    cnn_and_36: tuple[nn.Module, Tensor, Tensor]
) -> tuple[nn.Module, Tensor, Tensor]:
    """The CNN and 8 images it gets right."""
    network, images, labels = cnn_and_36
    return network, images[:8], labels[:8]
