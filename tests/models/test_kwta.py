"""k-winners-take-all, against sorting."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from robench.models.kwta import KWinners, KWinnersBlock, kwta_resnet34
from robench.models.resnet import resnet34


@settings(deadline=None, max_examples=50)
@given(ratio=st.floats(0.001, 1.0), seed=st.integers(0, 1000))
def test_exactly_the_largest_stay(ratio: float, seed: int) -> None:
    x = torch.randn(4, 3, 4, 5, generator=torch.Generator().manual_seed(seed))
    kept = KWinners(ratio)(x)
    winners = max(int(np.floor(ratio * 60)), 1)
    for image, after in zip(x.flatten(1).numpy(), kept.flatten(1).numpy(), strict=True):
        expected = np.zeros_like(image)
        largest = np.argsort(-image)[:winners]
        expected[largest] = image[largest]
        np.testing.assert_array_equal(after, expected)


def test_ties_with_the_smallest_winner_stay() -> None:
    x = torch.tensor([[[[3.0, 1.0], [1.0, 0.0]]]])
    assert torch.equal(KWinners(0.5)(x), torch.tensor([[[[3.0, 1.0], [1.0, 0.0]]]]))
    assert torch.equal(KWinners(0.25)(x), torch.tensor([[[[3.0, 0.0], [0.0, 0.0]]]]))


def test_the_gradient_goes_through_winners_alone() -> None:
    x = torch.randn(2, 3, 4, 4, requires_grad=True)
    weights = torch.rand(2, 3, 4, 4)
    kept = KWinners(0.2)(x)
    (kept * weights).sum().backward()
    assert torch.equal(x.grad, weights * (kept != 0))


def test_all_of_it_is_the_identity() -> None:
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(KWinners(1)(x), x)


def test_images_do_not_compete_with_each_other() -> None:
    x = torch.randn(4, 3, 4, 4) * torch.tensor([1.0, 100.0, 1e-3, 1.0])[:, None, None, None]
    together = KWinners(0.2)(x)
    alone = torch.cat([KWinners(0.2)(image[None]) for image in x])
    assert torch.equal(together, alone)


def test_blocks_have_winners_and_the_stem_its_relu() -> None:
    network = kwta_resnet34(num_classes=3, in_channels=3, image_size=(32, 32))
    blocks = [module for module in network.modules() if isinstance(module, KWinnersBlock)]
    assert len(blocks) == 16
    relus = [name for name, module in network.named_modules() if isinstance(module, nn.ReLU)]
    assert relus == ["relu"]
    assert network.conv1.kernel_size == (3, 3)
    assert network.conv1.stride == (1, 1)
    assert isinstance(network.maxpool, nn.Identity)


def test_a_block_is_the_formula() -> None:
    network = kwta_resnet34(num_classes=3, in_channels=3, image_size=(32, 32)).eval()
    block, x = network.layer2[0], torch.randn(2, 64, 6, 6)
    winners = KWinners(0.2)
    inner = block.bn2(block.conv2(winners(block.bn1(block.conv1(x)))))
    torch.testing.assert_close(block(x), winners(inner + block.downsample(x)))


def test_an_image_has_the_same_logits_alone_and_among_others() -> None:
    # In float32 the rounding of another batch size can exchange winners that are nearly equal.
    network = kwta_resnet34(num_classes=3, in_channels=1, image_size=(32, 32), stem="imagenet")
    network.double().eval()
    images = torch.rand(3, 1, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        together, alone = network(images), torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("stem", ["imagenet", "small"])
def test_no_parameters_are_added(stem: str) -> None:
    shape = {"num_classes": 5, "in_channels": 3, "image_size": (224, 224), "stem": stem}
    with torch.device("meta"):
        own, plain = kwta_resnet34(**shape), resnet34(**shape)
    assert {name: weight.shape for name, weight in own.named_parameters()} == {
        name: weight.shape for name, weight in plain.named_parameters()
    }
