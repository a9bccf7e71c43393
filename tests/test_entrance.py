import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from robench.entrance import EntranceConvolution, with_entrance


@settings(max_examples=40, deadline=None)
@given(
    channels=st.integers(1, 4), kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)), padding=st.integers(0, 2),
    dilation=st.integers(1, 2), height=st.integers(9, 14), width=st.integers(9, 14),
    last=st.booleans(), bias=st.booleans(), seed=st.integers(0, 99),
)
def test_the_gradient_is_the_librarys(
    channels, kernel, stride, padding, dilation, height, width, last, bias, seed
):
    torch.manual_seed(seed)
    layer = nn.Conv2d(channels, 5, kernel, stride=stride, padding=padding, dilation=dilation,
                      bias=bias).requires_grad_(False).double()
    images = torch.rand(3, channels, height, width, dtype=torch.float64)
    if last:
        images = images.contiguous(memory_format=torch.channels_last)
    one, other = (images.clone().requires_grad_(True) for _ in range(2))
    expected, found = layer(one), EntranceConvolution.of(layer)(other)
    assert torch.equal(expected, found)
    weights = torch.randn_like(expected)
    (slope,) = torch.autograd.grad((expected * weights).sum(), one)
    (given_,) = torch.autograd.grad((found * weights).sum(), other)
    torch.testing.assert_close(given_, slope)


def test_many_images_are_spread_out_a_few_at_a_time(monkeypatch):
    layer = EntranceConvolution.of(nn.Conv2d(1, 4, 3, padding=1).requires_grad_(False))
    images = torch.rand(7, 1, 8, 8, requires_grad=True)
    (whole,) = torch.autograd.grad(layer(images).square().sum(), images)
    monkeypatch.setattr("robench.entrance._VALUES", 2 * 9 * 64)
    (parts,) = torch.autograd.grad(layer(images).square().sum(), images)
    torch.testing.assert_close(parts, whole)


def test_in_low_precision_the_gradient_is_that_of_the_pixels_type():
    layer = EntranceConvolution.of(nn.Conv2d(3, 4, 3).requires_grad_(False))
    images = torch.rand(2, 3, 8, 8, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = layer(images)
    assert output.dtype == torch.bfloat16
    (slope,) = torch.autograd.grad(output.float().sum(), images)
    exact = nn.Conv2d.forward(layer, images).sum()
    assert slope.dtype == torch.float32
    torch.testing.assert_close(slope, torch.autograd.grad(exact, images)[0], rtol=0.05, atol=0.05)


class ReadsItsWeights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 3, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(images, self.layer.weight, self.layer.bias)


def test_a_network_that_reads_the_layers_weights_still_can():
    network = ReadsItsWeights().requires_grad_(False)
    images = torch.rand(2, 1, 8, 8)
    expected = network(images)
    changed = with_entrance(network)
    assert type(changed.layer) is EntranceConvolution
    assert torch.equal(changed(images), expected)


@pytest.mark.parametrize("layer", [
    nn.Conv2d(8, 4, 3), nn.Conv2d(2, 4, 3, groups=2), nn.Conv2d(1, 4, 3, padding="same"),
    nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular"), nn.ConvTranspose2d(1, 4, 3),
])
def test_other_layers_stay(layer):
    network = nn.Sequential(layer.requires_grad_(False))
    assert with_entrance(network)[0] is layer


def test_weights_that_are_trained_stay():
    network = nn.Sequential(nn.Conv2d(1, 4, 3))
    assert type(with_entrance(network)[0]) is nn.Conv2d
