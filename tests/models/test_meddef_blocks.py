"""MedDef's blocks, each against its formula."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robench.models.meddef_blocks import (
    AdversarialFeatureDetection,
    ChannelAttention,
    DefenseModule,
    MedicalFeatureExtraction,
    MultiScaleFeatures,
    SelfAttention,
    averaged,
    stretched,
)

Block = TypeVar("Block", bound=nn.Module)


def settled(module: Block) -> Block:
    """The module in eval mode, its BatchNorms with other than their first values."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor in (part.weight.data, part.bias.data, part.running_mean, part.running_var):
                assert tensor is not None
                tensor.uniform_(0.5, 1.5)
    return module.eval()


def layers(module: Iterable[nn.Module]) -> list[nn.Module]:
    """Those with weights, in order."""
    return [layer for layer in module if any(True for _ in layer.parameters())]


def conv(layer: nn.Module, features: Tensor, **options: Any) -> Tensor:
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    return F.conv2d(features, layer.weight, layer.bias, **options)


def normalised(layer: nn.Module, features: Tensor) -> Tensor:
    assert isinstance(layer, nn.BatchNorm2d)
    mean, var = layer.running_mean, layer.running_var
    assert mean is not None
    assert var is not None
    scaled = (features - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
    return scaled * layer.weight[:, None, None] + layer.bias[:, None, None]


def test_adversarial_feature_detection() -> None:
    block = settled(AdversarialFeatureDetection(8))
    features = torch.randn(3, 8, 5, 7)
    first, norm, second = layers(block.mask)
    hidden = normalised(norm, conv(first, features)).clamp(min=0)
    mask = 1 / (1 + torch.exp(-conv(second, hidden, padding=1, groups=8)))
    expected = features + conv(block.cleaner, features * mask, padding=1)
    assert torch.allclose(block(features), expected, atol=1e-5)


def test_medical_feature_extraction() -> None:
    block = settled(MedicalFeatureExtraction(8))
    features = torch.randn(3, 8, 5, 7)
    edge = torch.tanh(conv(block.edge[0], features, padding=1, groups=8))
    texture = conv(block.texture[0], features, padding=2, groups=8)
    texture = normalised(block.texture[1], texture).clamp(min=0)
    joined = torch.cat([features, edge, texture], dim=1)
    expected = normalised(block.aggregate[1], conv(block.aggregate[0], joined)).clamp(min=0)
    assert torch.allclose(block(features), expected, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (8, 16)])
def test_multi_scale_features(size: tuple[int, int]) -> None:
    block = settled(MultiScaleFeatures(8))
    features = torch.randn(3, 8, *size)
    views = [features]
    for grid in (2, 4, 8):
        first, norm = layers(block.scales[str(grid)])  # type: ignore[arg-type]
        coarse = conv(first, F.adaptive_avg_pool2d(features, grid))
        coarse = normalised(norm, coarse).clamp(min=0)
        views.append(F.interpolate(coarse, size=size, mode="bilinear", align_corners=True))
    hidden = normalised(block.fuse[1], conv(block.fuse[0], torch.cat(views, dim=1))).clamp(min=0)
    assert torch.allclose(block(features), conv(block.fuse[3], hidden), atol=1e-5)


def test_channel_attention() -> None:
    block = ChannelAttention(8)
    features = torch.randn(3, 8, 5, 7)
    first, second = layers(block.weigh)
    means = features.numpy().mean(axis=(2, 3))[..., None, None]
    hidden = conv(first, torch.from_numpy(means)).clamp(min=0)
    weights = block(features)
    assert weights.shape == (3, 8, 1, 1)
    assert torch.allclose(weights, 1 / (1 + torch.exp(-conv(second, hidden))), atol=1e-6)


@pytest.mark.parametrize("without", [[], ["afd"], ["afd", "mfe"], ["afd", "mfe", "msf"]])
def test_defense_module(without: list[str]) -> None:
    """Eq. 5, with Ω computed on Φ's output."""
    block = settled(DefenseModule(8, without=without))
    features = torch.randn(2, 8, 5, 7)
    fused = torch.cat([detector(features) for detector in block.detectors.values()]
                      if len(without) < 3 else [features], dim=1)
    kernels = layers(block.fusion)
    for first, norm in zip(kernels[::2], kernels[1::2], strict=True):
        assert isinstance(first, nn.Conv2d)
        fused = normalised(norm, conv(first, fused, padding=first.kernel_size[0] // 2))
        if not (len(without) == 3 and norm is kernels[-1]):
            fused = fused.clamp(min=0)
    expected = features + fused * block.channel_attention(fused)
    assert torch.allclose(block(features), expected, atol=1e-5)


def linear(layer: nn.Linear, tokens: Tensor) -> np.ndarray:
    weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
    return np.asarray(tokens.double().numpy() @ weight.T + bias)


@pytest.mark.parametrize("size", [(1, 1), (3, 4)])
def test_attention_across_positions(size: tuple[int, int]) -> None:
    block = SelfAttention(16)
    features = torch.randn(3, 16, *size)
    tokens = features.permute(0, 2, 3, 1).reshape(3, -1, 16)
    query, key, value = (torch.from_numpy(linear(layer, tokens))
                         for layer in (block.query, block.key, block.value))
    attended = F.scaled_dot_product_attention(query, key, value)
    expected = linear(block.output, attended)
    assert np.allclose(block(features).detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (3, 4)])
def test_attention_across_channels(size: tuple[int, int]) -> None:
    block = SelfAttention(16, across="channel")
    features = 3 * torch.randn(2, 16, *size)
    tokens = features.permute(0, 2, 3, 1).reshape(2, -1, 16)
    query, key, value = (linear(layer, tokens) for layer in (block.query, block.key, block.value))
    attended = np.zeros_like(value)
    for image in range(2):
        for channel in range(16):
            scores = np.array([query[image, :, channel] @ key[image, :, other]
                               for other in range(16)]) / np.sqrt(size[0] * size[1])
            weights = np.exp(scores) / np.exp(scores).sum()
            attended[image, :, channel] = value[image] @ weights
    expected = linear(block.output, torch.from_numpy(attended))
    assert np.allclose(block(features).detach().numpy(), expected, atol=1e-5)


RESAMPLING: list[tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = [
    *((lambda x, g=grid: averaged(x, g), lambda x, g=grid: F.adaptive_avg_pool2d(x, g))
      for grid in (2, 4, 8)),
    *((lambda x, s=size: stretched(x, s),
       lambda x, s=size: F.interpolate(x, size=s, mode="bilinear", align_corners=True))
      for size in ((1, 1), (1, 5), (7, 3), (16, 16))),
]


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 2), (7, 5), (16, 8)])
@pytest.mark.parametrize(("own", "reference"), RESAMPLING)
def test_resampling_is_torchs(
    own: Callable[[Tensor], Tensor], reference: Callable[[Tensor], Tensor], size: tuple[int, int]
) -> None:
    features = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    expected = reference(features)
    assert torch.allclose(own(features), expected, atol=1e-12)
    weights = torch.randn_like(expected)
    gradient, wanted = (torch.autograd.grad((resample(features) * weights).sum(), features)[0]
                        for resample in (own, reference))
    assert torch.allclose(gradient, wanted, atol=1e-12)
