import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from robench.rewriting import rewritten


def order(network: nn.Module) -> list[str]:
    """The kinds of the layers a rewritten network calls, in their order."""
    modules = dict(network.named_modules())
    return [type(modules[node.target]).__name__ for node in network.graph.nodes
            if node.op == "call_module"]


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("pool", [
    nn.MaxPool2d(2), nn.MaxPool2d(3, stride=2, padding=1),
    nn.MaxPool2d(3, stride=2, ceil_mode=True),
])
def test_a_relu_goes_behind_the_pooling_to_the_same_bits(pool, inplace):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace=inplace), pool, nn.Flatten())
    network = network.eval().requires_grad_(False)
    faster = rewritten(network)
    assert faster is not None
    assert order(faster) == ["Conv2d", "MaxPool2d", "ReLU", "Flatten"]
    one, other = (torch.rand(4, 1, 11, 13).mul(2).sub(1).requires_grad_(True) for _ in range(2))
    other.data.copy_(one.data)
    expected, found = network(one), faster(other)
    assert torch.equal(expected, found)
    assert bool((expected == 0).any())
    slopes = torch.autograd.grad(expected.square().sum(), one)[0], \
        torch.autograd.grad(found.square().sum(), other)[0]
    assert torch.equal(*slopes)


class ReadTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.relu, self.pool = nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        seen = self.relu(self.layer(images))
        return self.pool(seen).mean(dim=(2, 3)) + seen.mean(dim=(2, 3))


class Positions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(2, return_indices=True)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.pool(self.relu(images))[1].flatten(1).float()


@pytest.mark.parametrize("make", [ReadTwice, Positions])
def test_a_relu_that_others_read_stays(make):
    assert rewritten(make().eval()) is None


def test_one_relu_called_everywhere_moves_only_where_it_is_pooled():
    class Reused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(2)
            self.one, self.two = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 3, 3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.relu(self.two(self.pool(self.relu(self.one(images)))))

    network = Reused().eval().requires_grad_(False)
    faster = rewritten(network)
    assert faster is not None
    assert order(faster) == ["Conv2d", "MaxPool2d", "ReLU", "Conv2d", "ReLU"]
    images = torch.rand(2, 1, 12, 12)
    assert torch.equal(network(images), faster(images))


class Slow(nn.Module):
    """Takes long to be traced."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        time.sleep(.05)
        return images.flatten(1)


def test_networks_are_rewritten_and_called_in_several_threads_at_once():
    def work(seed: int) -> bool:
        network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), Slow()).eval()
        images = torch.rand(2, 1, 8, 8)
        for _ in range(4):
            faster = rewritten(network)
            if faster is None or order(faster)[0] != "Conv2d":
                return False
            with torch.no_grad():
                torch.testing.assert_close(faster(images), network(images))
        return True

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(work, range(4)))
