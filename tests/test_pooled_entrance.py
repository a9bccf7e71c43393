import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import fx, nn

from robench.entrance import EntranceConvolution, with_entrance
from robench.pooled_entrance import PooledEntrance, with_pooled_entrance

PAIRS = st.tuples(st.integers(1, 4), st.integers(1, 4))


@settings(max_examples=60, deadline=None)
@given(
    channels=st.integers(1, 4), kernel=PAIRS, stride=PAIRS, padding=st.integers(0, 2),
    window=st.tuples(st.integers(1, 3), st.integers(1, 3)), apart=st.integers(1, 4),
    edge=st.booleans(), height=st.integers(16, 21), width=st.integers(16, 21),
    last=st.booleans(), seed=st.integers(0, 99),
)
def test_the_gradient_is_the_librarys(
    channels, kernel, stride, padding, window, apart, edge, height, width, last, seed
):
    """Of windows that overlap as well, although these are left to the library."""
    torch.manual_seed(seed)
    layer = nn.Conv2d(channels, 5, kernel, stride=stride, padding=padding)
    layer = layer.requires_grad_(False).double()
    pool = nn.MaxPool2d(window, stride=apart, padding=min(window) // 2 if edge else 0)
    images = torch.rand(3, channels, height, width, dtype=torch.float64)
    if last:
        images = images.contiguous(memory_format=torch.channels_last)
    one, other = (images.clone().requires_grad_(True) for _ in range(2))
    joined = PooledEntrance(layer, pool)
    expected, found = pool(layer(one)), joined(other)
    assert type(found.grad_fn).__name__ == "_PooledBackward"
    assert torch.equal(expected, found)
    weights = torch.randn(2, *expected.shape, dtype=torch.float64)
    for each in weights:  # several ways back through one pass
        (slope,) = torch.autograd.grad((expected * each).sum(), one, retain_graph=True)
        (given_,) = torch.autograd.grad((found * each).sum(), other, retain_graph=True)
        torch.testing.assert_close(given_, slope)
    assert torch.equal(joined(images), expected)


def test_sizes_take_turns():
    torch.manual_seed(0)
    layer, pool = nn.Conv2d(1, 4, 3, padding=1).requires_grad_(False), nn.MaxPool2d(2)
    joined = PooledEntrance(layer, pool)
    for size in (8, 11, 8, 12):
        images = torch.rand(2, 1, size, size, requires_grad=True)
        (found,) = torch.autograd.grad(joined(images).square().sum(), images)
        (known,) = torch.autograd.grad(pool(layer(images)).square().sum(), images)
        torch.testing.assert_close(found, known)


def test_in_low_precision_the_gradient_is_that_of_the_pixels_type():
    layer, pool = nn.Conv2d(3, 4, 3).requires_grad_(False), nn.MaxPool2d(2)
    images = torch.rand(2, 3, 8, 8, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = PooledEntrance(layer, pool)(images)
        known = pool(layer(images))
    assert output.dtype == torch.bfloat16
    (slope,) = torch.autograd.grad(output.float().sum(), images)
    assert slope.dtype == torch.float32
    (exact,) = torch.autograd.grad(known.float().sum(), images)
    torch.testing.assert_close(slope, exact, rtol=0.05, atol=0.05)


def test_what_is_not_finite_stays_so():
    layer, pool = nn.Conv2d(1, 4, 3, padding=1).requires_grad_(False), nn.MaxPool2d(2)
    images = torch.rand(2, 1, 8, 8, requires_grad=True)
    output = PooledEntrance(layer, pool)(images)
    weights = torch.ones_like(output)
    weights[1] = float("nan")
    (slope,) = torch.autograd.grad((output * weights).sum(), images)
    assert torch.isfinite(slope[0]).all()
    assert torch.isnan(slope[1]).all()


def test_a_table_that_is_too_large_is_not_made(monkeypatch):
    monkeypatch.setattr("robench.pooled_entrance._LARGEST", 10)
    layer, pool = nn.Conv2d(1, 4, 3).requires_grad_(False), nn.MaxPool2d(2)
    images = torch.rand(2, 1, 8, 8, requires_grad=True)
    output = PooledEntrance(layer, pool)(images)
    assert type(output.grad_fn).__name__ != "_PooledBackward"
    assert torch.equal(output, pool(layer(images)))


def traced(*layers: nn.Module) -> fx.GraphModule:
    return fx.symbolic_trace(nn.Sequential(*layers).requires_grad_(False))


def test_a_convolution_and_its_pooling_are_joined():
    torch.manual_seed(0)
    network = traced(nn.Conv2d(1, 8, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(8, 8, 3),
                     nn.MaxPool2d(2))
    images = torch.rand(2, 1, 12, 12)
    expected = network(images)
    joined = with_entrance(with_pooled_entrance(network))
    assert torch.equal(joined(images), expected)
    kinds = [type(module) for module in joined.modules()]
    assert kinds.count(PooledEntrance) == 1
    assert kinds.count(EntranceConvolution) == 1
    assert kinds.count(nn.Conv2d) == 1


class ReadTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.pool = nn.Conv2d(1, 4, 3), nn.MaxPool2d(2)

    def forward(self, images):
        convolved = self.layer(images)
        return self.pool(convolved).sum() + convolved.sum()


class CalledTwice(ReadTwice):
    def forward(self, images):
        return self.pool(self.layer(images)) + self.pool(self.layer(images.flip(3)))


@pytest.mark.parametrize("network", [
    traced(nn.Conv2d(1, 4, 3), nn.MaxPool2d(3, stride=2)),
    traced(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2, ceil_mode=True)),
    traced(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2, dilation=2)),
    traced(nn.Conv2d(1, 4, 3, dilation=2), nn.MaxPool2d(2)),
    traced(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2)),
    traced(nn.Conv2d(1, 4, 3), nn.AvgPool2d(2)),
    traced(nn.Conv2d(8, 4, 3), nn.MaxPool2d(2)),
    fx.symbolic_trace(ReadTwice().requires_grad_(False)),
    fx.symbolic_trace(CalledTwice().requires_grad_(False)),
    fx.symbolic_trace(nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2))),  # is trained
    nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2)).requires_grad_(False),
], ids=range(11))
def test_others_stay(network):
    kinds = [type(module) for module in with_pooled_entrance(network).modules()]
    assert PooledEntrance not in kinds
