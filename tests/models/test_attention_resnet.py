"""The attention of Chen et al. 2021: exact counts, and every block against its formula."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from timm.layers.cbam import CbamModule
from torch import Tensor, nn
from torch.nn import functional

from robench.models.attention_blocks import BottleneckAttention, SelfAttention, cbam
from robench.models.attention_resnet import bam_resnet34, cbam_resnet34, selfattn_resnet34
from robench.models.resnet import resnet34

EXTRA = {cbam_resnet34: 162_796, bam_resnet34: 22_991, selfattn_resnet34: 328_321}
RESNET34 = {15: 21_292_367, 5: 21_287_237, 7: 21_288_263}
BLOCKS: dict[str, Callable[[int], nn.Module]] = {
    "cbam": cbam, "bam": BottleneckAttention, "self-attention": SelfAttention,
}


def count(factory: Callable[..., nn.Module], classes: int, **settings: object) -> int:
    with torch.device("meta"):
        network = factory(num_classes=classes, in_channels=3, image_size=(224, 224), **settings)
    return sum(weight.numel() for weight in network.parameters())


def moved(block: nn.Module) -> nn.Module:
    """`block` in eval mode, with statistics and gains as after a training."""
    generator = torch.Generator().manual_seed(3)
    for name, tensor in [*block.named_parameters(), *block.named_buffers()]:
        if tensor.is_floating_point():
            drawn = torch.rand(tensor.shape, generator=generator)
            tensor.data = 0.5 + drawn if "var" in name else drawn - 0.3
    return block.eval()


def features(channels: int = 32, height: int = 5, width: int = 7) -> Tensor:
    return torch.randn(3, channels, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("classes", RESNET34)
@pytest.mark.parametrize("factory", EXTRA, ids=lambda factory: factory.__name__)
@pytest.mark.parametrize("stem", ["imagenet", "small"])
def test_parameters_are_exactly_those_stated(
    factory: Callable[..., nn.Module], classes: int, stem: str
) -> None:
    plain = count(resnet34, classes, stem=stem)
    assert count(factory, classes, stem=stem) - plain == EXTRA[factory]
    assert count(resnet34, classes, stem="imagenet") == RESNET34[classes]


def test_attention_stands_where_the_paper_has_it() -> None:
    shape = {"num_classes": 2, "in_channels": 3, "image_size": (64, 64)}

    def found(network: nn.Module, kind: type[nn.Module]) -> list[str]:
        return [name for name, module in network.named_modules() if isinstance(module, kind)]

    assert found(bam_resnet34(**shape), BottleneckAttention) == [
        "layer1.attention", "layer2.attention", "layer3.attention",
    ]
    assert found(selfattn_resnet34(**shape), SelfAttention) == ["layer4.attention"]
    assert len(found(cbam_resnet34(**shape), CbamModule)) == 16


def test_cbam_is_the_formula() -> None:
    block, x = moved(cbam(32)), features()
    first, second = block.channel.fc1, block.channel.fc2

    def perceptron(pooled: Tensor) -> Tensor:
        hidden = torch.relu(pooled @ first.weight[:, :, 0, 0].T + first.bias)
        return hidden @ second.weight[:, :, 0, 0].T + second.bias

    channel = torch.sigmoid(perceptron(x.mean(dim=(2, 3))) + perceptron(x.amax(dim=(2, 3))))
    weighed = x * channel[:, :, None, None]
    pooled = torch.stack([weighed.mean(dim=1), weighed.amax(dim=1)], dim=1)
    norm = block.spatial.conv.bn
    logits = functional.conv2d(pooled, block.spatial.conv.conv.weight, padding=3)
    logits = (logits - norm.running_mean) / torch.sqrt(norm.running_var + norm.eps)
    expected = weighed * torch.sigmoid(logits * norm.weight + norm.bias)
    torch.testing.assert_close(block(x), expected)
    assert norm.momentum == 0.01


def test_cbam_is_timms_where_that_has_the_same_weights() -> None:
    ours, theirs = moved(cbam(64)), CbamModule(64).eval()
    for layer in (ours.channel.fc1, ours.channel.fc2):
        nn.init.zeros_(layer.bias)
    own = ours.state_dict()
    theirs.load_state_dict({name: own[name] for name in theirs.state_dict()})
    x = features(64)
    torch.testing.assert_close(ours(x), theirs(x))
    assert set(own) - set(theirs.state_dict()) == {"channel.fc1.bias", "channel.fc2.bias"}


def test_cbam_comes_before_the_residual_is_added() -> None:
    network = cbam_resnet34(num_classes=2, in_channels=3, image_size=(64, 64))
    block, x = moved(network.layer1[1]), features(64)
    inner = block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(x)))))
    torch.testing.assert_close(block(x), torch.relu(block.attention(inner) + x))


def test_bam_is_the_formula() -> None:
    block, x = moved(BottleneckAttention(32)), features()
    channel = block.channel(x.mean(dim=(2, 3)))
    spatial = block.spatial(x)
    assert spatial.shape == (3, 1, 5, 7)
    expected = torch.stack([
        image * (1 + torch.sigmoid(weights[:, None, None] * where))
        for image, weights, where in zip(x, channel, spatial, strict=True)
    ])
    torch.testing.assert_close(block(x), expected)
    dilations = [layer.dilation for layer in block.spatial if isinstance(layer, nn.Conv2d)]
    assert dilations == [(1, 1), (4, 4), (4, 4), (1, 1)]


def test_self_attention_is_the_formula() -> None:
    block, x = moved(SelfAttention(32)), features()
    positions = x.flatten(2).transpose(1, 2)

    def projected(layer: nn.Conv2d) -> Tensor:
        return positions @ layer.weight[:, :, 0, 0].T + layer.bias

    query, key, value = (projected(layer) for layer in (block.query, block.key, block.value))
    attended = functional.scaled_dot_product_attention(query, key, value, scale=1.0)
    expected = x + block.gamma * attended.transpose(1, 2).reshape(x.shape)
    torch.testing.assert_close(block(x), expected)


def test_self_attention_starts_as_the_identity() -> None:
    x = features()
    assert torch.equal(SelfAttention(32)(x), x)


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (8, 8)])
def test_blocks_keep_any_shape(name: str, size: tuple[int, int]) -> None:
    x = features(32, *size)
    assert moved(BLOCKS[name](32))(x).shape == x.shape


@pytest.mark.parametrize("factory", EXTRA, ids=lambda factory: factory.__name__)
def test_resnet34s_weights_go_around_the_attention(
    factory: Callable[..., nn.Module], tmp_path: Path
) -> None:
    shape = {"num_classes": 2, "in_channels": 3, "image_size": (64, 64)}
    weights = resnet34(**{**shape, "num_classes": 1000}).state_dict()
    torch.save(weights, tmp_path / "w.pt")
    found = factory(**shape, pretrained=str(tmp_path / "w.pt")).state_dict()
    left = {name for name in found if name not in weights or name.startswith("fc.")}
    assert all(torch.equal(found[name], weights[name]) for name in found if name not in left)
    assert {name for name in left if ".attention." not in name} == {"fc.weight", "fc.bias"}


@pytest.mark.parametrize("factory", EXTRA, ids=lambda factory: factory.__name__)
def test_a_small_grey_image_works(factory: Callable[..., nn.Module]) -> None:
    network = factory(num_classes=2, in_channels=1, image_size=(28, 36), stem="imagenet")
    images = torch.rand(2, 1, 28, 36, requires_grad=True)
    network.train()(images).sum().backward()
    assert images.grad is not None
    assert bool(images.grad.any())
