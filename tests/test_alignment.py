import pytest
import torch
from torch import nn

import robench
from robench.alignment import AlignedLinear, has_odd_rows, with_aligned_rows
from robench.arrangement import arranged, channels_last
from robench.attacks.losses import cross_entropy
from robench.victim import Victim


def frozen(network: nn.Module) -> nn.Module:
    return network.eval().requires_grad_(False)


def small(width: int, *, convolutions: bool) -> nn.Module:
    torch.manual_seed(0)
    first = [nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(),
             nn.Conv2d(6, 6, 3, stride=2), nn.ReLU()]
    return frozen(nn.Sequential(
        *(first if convolutions else []), nn.Flatten(),
        nn.Linear(54 if convolutions else 64, width), nn.ReLU(),
        nn.Linear(width, 10),
    ))


@pytest.mark.parametrize("convolutions", [True, False])
@pytest.mark.parametrize("width", [5, 9, 50, 54, 64])
def test_bits_do_not_depend_on_the_place_in_a_batch(width, convolutions):
    network, images = small(width, convolutions=convolutions), torch.rand(32, 1, 8, 8)
    victim = Victim(network).eval()
    victim.arrange(images)
    assert victim.is_arranged == convolutions
    assert {*victim.parameters()} == {*network.parameters()}
    labels, order = torch.arange(32) % 10, torch.randperm(32)
    here = victim.gradient(images, labels, cross_entropy)
    there = victim.gradient(images[order], labels[order], cross_entropy)
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one[order], other)


@pytest.mark.parametrize("convolutions", [True, False])
@pytest.mark.parametrize("name", ["pgd", "deepfool", "fab", "fmn"])
def test_results_do_not_depend_on_the_order(name, convolutions):
    network, images = small(54, convolutions=convolutions), torch.rand(40, 1, 8, 8)
    labels = network(images).argmax(dim=1)
    order = torch.randperm(40)
    attack = robench.attack(name, **({"norm": "l2"} if name != "deepfool" else {}))
    (here,) = attack(network, images, labels, epsilons=[0.3])
    (there,) = attack(network, images[order], labels[order], epsilons=[0.3])
    assert torch.equal(here.adversarial[order], there.adversarial)
    assert torch.equal(here.margin[order], there.margin)


@pytest.mark.parametrize("bias", [True, False])
def test_it_is_the_same_layer(bias):
    layer = nn.Linear(7, 3, bias=bias).requires_grad_(False)
    aligned = AlignedLinear.of(layer)
    rows = torch.rand(5, 2, 7, requires_grad=True)
    torch.testing.assert_close(aligned(rows), layer(rows))
    (one,), (other,) = (torch.autograd.grad(each(rows).square().sum(), rows)
                        for each in (aligned, layer))
    torch.testing.assert_close(one, other)
    assert layer.weight.shape == (3, 7)
    assert type(layer) is nn.Linear


def test_only_odd_widths_are_exchanged():
    network = frozen(nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4)))
    assert has_odd_rows(network)
    kinds = [type(layer) for layer in with_aligned_rows(network)]
    assert kinds == [nn.Linear, nn.ReLU, AlignedLinear]
    assert not has_odd_rows(network)
    assert not has_odd_rows(nn.Linear(6, 4))  # its weights are trained


def test_the_network_itself_keeps_its_width():
    network = small(9, convolutions=True)
    faster = arranged(network, torch.rand(8, 1, 8, 8))
    assert faster is not None
    assert network[7].weight.shape == (9, 54)
    with torch.no_grad():
        images = torch.rand(4, 1, 8, 8)
        torch.testing.assert_close(faster(channels_last(images)), network(images))
