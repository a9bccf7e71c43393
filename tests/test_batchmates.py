import pytest
import torch
from torch import Tensor, nn

from robench.batchmates import rows_depend_on_mates


class Mixing(nn.Module):
    """A small network with BatchNorm, and what becomes of a batch's logits."""

    def __init__(self, mix) -> None:
        super().__init__()
        self.inner = _network()
        self.mix = mix

    def forward(self, images):
        return self.mix(self.inner(images))


def _network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 4),
        )
        network(torch.rand(16, 3, 12, 12))  # statistics for BatchNorm
    return network.eval()


def _images(rows: int) -> Tensor:
    return torch.rand(rows, 3, 12, 12, generator=torch.Generator().manual_seed(rows))


@pytest.mark.parametrize("mix", [
    lambda logits: logits - logits.mean(dim=0, keepdim=True),
    lambda logits: logits * torch.softmax(logits[:, :1], dim=0),
    lambda logits: logits.cumsum(dim=0),
    lambda logits: 1e-4 * (logits + logits.amax(dim=0)),
], ids=["mean", "softmax", "cumsum", "tiny"])
def test_a_network_whose_rows_mix_is_told(mix):
    network = Mixing(mix).eval()
    assert rows_depend_on_mates(network, _images(8))
    assert rows_depend_on_mates(network, _images(2))


def test_batchnorm_mixes_rows_only_in_training():
    network = _network()
    assert not rows_depend_on_mates(network, _images(8))
    assert rows_depend_on_mates(network.train(), _images(8))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_a_normal_network_is_not_suspected(scale):
    network = Mixing(lambda logits: scale * logits).eval()
    assert not rows_depend_on_mates(network, _images(8))
