"""Soft thresholds and residual shrinkage units, against loops over single values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.models.shrinkage import (
    ResidualShrinkageUnit,
    Shrinkage,
    shrinkages,
    soft_threshold,
)

FLOATS = st.floats(-8, 8, width=32)


def moved(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module in eval mode, with weights and statistics of which none is 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                drawn = torch.rand(tensor.shape, generator=generator)
                tensor.copy_(drawn + 0.5 if name.endswith("running_var") else drawn - 0.4)
    return module.eval()


@settings(max_examples=60, deadline=None)
@given(x=FLOATS, tau=st.floats(0, 4, width=32))
@example(x=1.0, tau=1.0)
@example(x=-1.0, tau=1.0)
@example(x=0.0, tau=0.0)
def test_soft_threshold_value_and_slopes(x: float, tau: float) -> None:
    value, threshold = (torch.tensor([number], requires_grad=True) for number in (x, tau))
    shrunk = soft_threshold(value, threshold)
    shrunk.sum().backward()
    outside = abs(x) > tau
    expected = np.sign(x) * max(abs(np.float32(x)) - np.float32(tau), 0)
    assert shrunk.item() == pytest.approx(expected, abs=1e-6)
    assert abs(shrunk.item()) <= abs(x)
    assert shrunk.item() * x >= 0
    assert value.grad is not None
    assert threshold.grad is not None
    assert value.grad.item() == (1.0 if outside else 0.0)  # equation 10 prints -1 on the left
    assert threshold.grad.item() == (-np.sign(x) if outside else 0.0)


def test_soft_threshold_by_hand() -> None:
    features = torch.tensor([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0])
    kept = features.clone()
    shrunk = soft_threshold(features, torch.tensor(1.0))
    assert shrunk.tolist() == [-2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0]
    assert torch.equal(features, kept)
    assert torch.equal(soft_threshold(features, torch.tensor(0.0)), features)


def batch_norm(values: np.ndarray, norm: nn.Module) -> np.ndarray:
    mean, variance, weight, bias = (
        getattr(norm, name).detach().double().numpy()
        for name in ("running_mean", "running_var", "weight", "bias")
    )
    shape = (1, -1) + (1,) * (values.ndim - 2)
    scaled = (values - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + norm.eps)
    return scaled * weight.reshape(shape) + bias.reshape(shape)


def convolution(values: np.ndarray, layer: nn.Conv2d, stride: int) -> np.ndarray:
    weight, bias = (tensor.detach().double().numpy() for tensor in (layer.weight, layer.bias))
    rows, _, height, width = values.shape
    padded = np.pad(values, ((0, 0), (0, 0), (1, 1), (1, 1)))
    out = np.zeros((rows, len(weight), -(-height // stride), -(-width // stride)))
    for row, channel, down, across in np.ndindex(*out.shape):
        top, left = down * stride, across * stride
        patch = padded[row, :, top:top + 3, left:left + 3]
        out[row, channel, down, across] = (patch * weight[channel]).sum() + bias[channel]
    return out


def shrunk(values: np.ndarray, module: Shrinkage) -> tuple[np.ndarray, np.ndarray]:
    """The thresholds N×C and the shrunk values."""
    first, norm, _, second, _ = module.fc
    out, thresholds = np.zeros_like(values), np.zeros(values.shape[:2])
    for row, image in enumerate(values):
        magnitudes = np.array([np.abs(channel).mean() for channel in image])
        hidden = first.weight.detach().double().numpy() @ magnitudes
        hidden = hidden + first.bias.detach().double().numpy()
        hidden = np.maximum(batch_norm(hidden[None], norm)[0], 0)
        logits = second.weight.detach().double().numpy() @ hidden
        scale = 1 / (1 + np.exp(-(logits + second.bias.detach().double().numpy())))
        for channel in range(len(image)):
            tau = (scale[0] * np.abs(image).mean() if len(scale) == 1 != len(image)
                   else scale[channel] * magnitudes[channel])
            thresholds[row, channel] = tau
            for place in np.ndindex(*image[channel].shape):
                value = image[channel][place]
                out[(row, channel, *place)] = np.sign(value) * max(abs(value) - tau, 0)
    return thresholds, out


@pytest.mark.parametrize("threshold", ["channel-wise", "shared"])
@pytest.mark.parametrize(("channels", "out_channels", "stride", "fc_reduction"), [
    (4, 4, 1, 1), (4, 7, 2, 1), (6, 4, 2, 4), (5, 5, 2, 4),
])
def test_unit_is_the_papers(
    channels: int, out_channels: int, stride: int, fc_reduction: int, threshold: str
) -> None:
    unit = moved(ResidualShrinkageUnit(
        channels, out_channels, stride=stride, threshold=threshold, fc_reduction=fc_reduction
    ))
    features = torch.randn(2, channels, 5, 6, generator=torch.Generator().manual_seed(1))
    values = features.double().numpy()
    first, second = unit.residual[:3], unit.residual[3:]
    residual = convolution(np.maximum(batch_norm(values, first[0]), 0), first[2], stride)
    residual = convolution(np.maximum(batch_norm(residual, second[0]), 0), second[2], 1)
    _, residual = shrunk(residual, unit.shrinkage)
    shortcut = values[:, :, ::stride, ::stride]
    if out_channels < channels:
        weight = unit.projection.weight.detach().double().numpy()[:, :, 0, 0]
        shortcut = np.einsum("oc,nchw->nohw", weight, shortcut)
    else:
        before = (out_channels - channels) // 2
        after = out_channels - channels - before
        shortcut = np.pad(shortcut, ((0, 0), (before, after), (0, 0), (0, 0)))
    with torch.no_grad():
        assert np.abs(unit(features).numpy() - (residual + shortcut)).max() < 1e-4


@pytest.mark.parametrize("threshold", ["channel-wise", "shared"])
def test_thresholds_are_those_of_magnitudes(threshold: str) -> None:
    """Mostly negative features: pooled as they are, they would give negative thresholds."""
    module = moved(Shrinkage(6, threshold=threshold))
    features = torch.randn(3, 6, 4, 4, generator=torch.Generator().manual_seed(2)) - 1.5
    with torch.no_grad():
        thresholds, out = module.thresholds(features), module(features)
    wanted, values = shrunk(features.double().numpy(), module)
    assert thresholds.shape == ((3, 6, 1, 1) if threshold == "channel-wise" else (3, 1, 1, 1))
    assert np.abs(thresholds.expand(3, 6, 1, 1)[:, :, 0, 0].numpy() - wanted).max() < 1e-5
    assert np.abs(out.numpy() - values).max() < 1e-5
    assert bool((thresholds > 0).all())
    most = features.abs().mean((1, 2, 3) if threshold == "shared" else (2, 3))
    assert bool((thresholds.flatten(1) < most.reshape(3, -1)).all())
    assert bool((out.abs() <= features.abs()).all())
    assert bool((out != 0).any(dim=(2, 3)).all() if threshold == "channel-wise" else True)


def unit_parameters(c: int, o: int, reduction: int, *, shared: bool) -> int:
    hidden, scales = o // reduction, 1 if shared else o
    convolutions = 9 * c * o + o + 9 * o * o + o
    norms = 2 * c + 2 * o + 2 * hidden
    layers = o * hidden + hidden + hidden * scales + scales
    return convolutions + norms + layers + (c * o if o < c else 0)


@pytest.mark.parametrize(("c", "o", "reduction", "threshold", "count"), [
    (16, 16, 1, "channel-wise", 5_280),
    (16, 16, 4, "channel-wise", 4_860),
    (16, 32, 1, "shared", 15_137),
    (2560, 256, 4, "channel-wise", 7_182_784),
])
def test_parameters_by_formula(c: int, o: int, reduction: int, threshold: str, count: int) -> None:
    with torch.device("meta"):
        unit = ResidualShrinkageUnit(c, o, threshold=threshold, fc_reduction=reduction)
    found = sum(weight.numel() for weight in unit.parameters())
    assert found == unit_parameters(c, o, reduction, shared=threshold == "shared") == count


@pytest.mark.parametrize("threshold", ["channel-wise", "shared"])
def test_rows_are_independent_in_eval_mode(threshold: str) -> None:
    unit = moved(ResidualShrinkageUnit(3, 8, threshold=threshold))
    images = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        together = unit(images)
        alone = torch.cat([unit(image[None]) for image in images])
    torch.testing.assert_close(together, alone)


def test_one_image_trains_and_leaves_the_vector_statistics() -> None:
    unit = moved(ResidualShrinkageUnit(3, 8)).train()
    norm = unit.shrinkage.fc[1]
    before = {name: tensor.clone() for name, tensor in norm.state_dict().items()}
    image = torch.randn(1, 3, 6, 6, requires_grad=True)
    unit(image).sum().backward()
    assert all(torch.equal(tensor, before[name]) for name, tensor in norm.state_dict().items())
    assert image.grad is not None
    assert bool(image.grad.abs().sum() > 0)
    assert bool(norm.weight.grad.abs().sum() > 0)
    unit(torch.randn(2, 3, 6, 6))
    assert int(norm.num_batches_tracked) == int(before["num_batches_tracked"]) + 1


def test_gradients_go_through_thresholds_and_shortcut() -> None:
    unit = moved(ResidualShrinkageUnit(2, 3, stride=2)).double()
    image = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True,
                        generator=torch.Generator().manual_seed(5))

    def output(pixels: Tensor) -> Tensor:
        out: Tensor = unit(pixels)
        return out

    assert torch.autograd.gradcheck(output, (image,))
    for weight in unit.parameters():
        weight.grad = None
    output(image).square().sum().backward()
    assert all(weight.grad is not None for weight in unit.parameters())
    assert bool(unit.shrinkage.fc[0].weight.grad.abs().sum() > 0), "the thresholds are learnt"


def test_shrinkages_are_found_inside_other_modules() -> None:
    units = [ResidualShrinkageUnit(2, 2), ResidualShrinkageUnit(2, 4)]
    network = nn.Sequential(nn.Identity(), nn.Sequential(*units))
    assert shrinkages(network) == [unit.shrinkage for unit in units]
    assert shrinkages(nn.Linear(2, 2)) == []
