import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import robench
from robench.arrangement import arranged, channels_last
from robench.packing import Layouts, PackedConvolution, with_packed_weights


@settings(max_examples=30, deadline=None)
@given(
    channels=st.sampled_from([16, 48, 65]), kernel=st.sampled_from([(1, 1), (3, 3), (5, 3)]),
    stride=st.sampled_from([(1, 1), (2, 2), (1, 2)]), padding=st.integers(0, 2),
    rows=st.integers(1, 5), side=st.integers(5, 9), last=st.booleans(), bias=st.booleans(),
    seed=st.integers(0, 99),
)
def test_logits_and_gradients_are_the_layers(
    channels, kernel, stride, padding, rows, side, last, bias, seed
):
    torch.manual_seed(seed)
    padding = tuple(min(padding, size - 1) for size in kernel)
    layer = nn.Conv2d(channels, 32, kernel, stride=stride, padding=padding, bias=bias)
    layer.requires_grad_(False)
    images = torch.rand(rows, channels, side, side)
    if last:
        images = channels_last(images)
    one, other = (images.clone().requires_grad_(True) for _ in range(2))
    packed = PackedConvolution.of(layer)
    expected, found = layer(one), packed(other)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        assert torch.equal(packed(images), found)
    weights = torch.randn_like(expected)
    (slope,) = torch.autograd.grad((expected * weights).sum(), one)
    (given_,) = torch.autograd.grad((found * weights).sum(), other)
    torch.testing.assert_close(given_, slope, rtol=1e-4, atol=1e-4)


def described(weights: torch.Tensor) -> list[int]:
    return torch.ops.mkldnn._get_mkldnn_serialized_md.default(weights).tolist()


def large() -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(128, 128, 3, padding=1).requires_grad_(False)


def test_an_images_bits_do_not_depend_on_the_first_batch():
    layer, images = large(), torch.rand(8, 128, 6, 6)
    by_one, by_eight = (PackedConvolution.of(layer) for _ in range(2))
    by_one(images[:1])
    assert torch.equal(by_one(images), by_eight(images))


def test_no_weights_are_laid_out_anew_once_a_shape_was_seen(capfd):
    layer = nn.Conv2d(3840, 640, 1, bias=False).requires_grad_(False)
    packed = PackedConvolution.of(layer)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # kernels of another block size than that of more images
    try:
        for rows in (32, 1, 32, 2, 1):
            leaf = channels_last(torch.rand(rows, 3840, 1, 1)).requires_grad_(True)
            packed(leaf).sum().backward()
        with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
            leaf = channels_last(torch.rand(1, 3840, 1, 1)).requires_grad_(True)
            packed(leaf).sum().backward()
    finally:
        torch.set_num_threads(threads)
    told = [line for line in capfd.readouterr().out.splitlines() if ",exec," in line]
    assert len([line for line in told if ",convolution," in line]) == 2
    assert not [line for line in told if "640x3840" in line or "3840x640" in line]


def test_each_layout_is_kept_once():
    layer, layouts = large(), Layouts()
    kept = [layouts.of(lambda: layer.weight, torch.rand(rows, 128, 6, 6), [1, 1], [1, 1])
            for rows in (32, 16, 8, 32, 16)]
    assert len({id(tensor) for tensor in kept}) == len({tuple(described(one)) for one in kept})
    again = layouts.of(lambda: pytest.fail("laid out again"), torch.rand(8, 128, 6, 6), [], [])
    assert again is kept[2]


def test_in_other_arithmetic_it_is_the_layer_as_it_was():
    layer, images = large(), torch.rand(2, 128, 6, 6, requires_grad=True)
    packed = PackedConvolution.of(layer)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(packed(images), layer(images))
        assert packed(images).dtype == torch.bfloat16
    double = copy.deepcopy(layer).double()
    assert torch.equal(PackedConvolution.of(double)(images.double()), double(images.double()))


@pytest.mark.parametrize("name", ["resnet18", "meddef"])
def test_a_network_of_many_weights_is_packed(name):
    network = robench.model(name, num_classes=4, image_size=32, in_channels=1)
    network = network.eval().requires_grad_(False)
    images = torch.rand(4, 1, 32, 32)
    faster = arranged(network, images)
    assert faster is not None
    assert any(isinstance(layer, PackedConvolution) for layer in faster.modules())
    assert not any(isinstance(layer, PackedConvolution) for layer in network.modules())


def test_the_weights_are_shared_and_the_network_stays():
    network = nn.Sequential(large(), nn.ReLU())
    packed = with_packed_weights(network)
    assert packed is not None
    assert type(packed[0]) is PackedConvolution
    assert type(network[0]) is nn.Conv2d
    assert packed[0].weight is network[0].weight


@pytest.mark.parametrize("layer", [
    nn.Conv2d(64, 64, 3), nn.Conv2d(512, 512, 3, groups=2), nn.Conv2d(128, 128, 3, padding="same"),
    nn.Conv2d(128, 128, 3, dilation=2), nn.Conv2d(128, 128, 3, padding=3), nn.Linear(512, 512),
    nn.Conv2d(128, 128, 3, padding=1, padding_mode="circular"),
    nn.Conv2d(128, 128, 3).double(), nn.ConvTranspose2d(128, 128, 3),
])
def test_other_layers_stay(layer):
    assert with_packed_weights(nn.Sequential(layer.requires_grad_(False))) is None


def test_weights_that_are_trained_stay():
    assert with_packed_weights(nn.Sequential(large().requires_grad_(True))) is None


def test_without_the_librarys_kernels_a_network_is_arranged_all_the_same(monkeypatch):
    def missing(self: PackedConvolution, images: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no kernel image")

    monkeypatch.setattr(PackedConvolution, "outputs", missing)
    network = robench.model("resnet18", num_classes=4, image_size=32, in_channels=1)
    faster = arranged(network.eval().requires_grad_(False), torch.rand(4, 1, 32, 32))
    assert faster is not None
    assert not any(isinstance(layer, PackedConvolution) for layer in faster.modules())
