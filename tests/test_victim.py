import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.attacks.losses import cross_entropy
from robench.freezing import frozen
from robench.logits import checked
from robench.normalisation import Normalize, with_normalisation
from robench.victim import Victim


def _network(in_channels: int = 3, classes: int = 4) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(in_channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, classes),
        )
        network(torch.rand(16, in_channels, 12, 12))  # statistics for BatchNorm
    return network.eval()


def _images(rows: int, channels: int = 3) -> Tensor:
    return torch.rand(rows, channels, 12, 12, generator=torch.Generator().manual_seed(rows))


class Stateless(nn.Module):
    """A network made of a function."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, images):
        return self.function(images)


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 70), data=st.data())
def test_an_image_gets_the_same_bits_in_any_batch(rows, data):
    victim, images = Victim(_network()), _images(70)
    whole = victim.logits(images)
    chosen = torch.tensor(data.draw(st.permutations(range(70)))[:rows])
    assert torch.equal(victim.logits(images[chosen]), whole[chosen])


@settings(max_examples=10, deadline=None)
@given(rows=st.integers(1, 70), data=st.data())
def test_and_the_same_gradient(rows, data):
    victim, images = Victim(_network()).requires_grad_(False), _images(70)
    labels = torch.arange(70) % 4
    logits, gradient = victim.gradient(images, labels, cross_entropy)
    assert torch.equal(logits, victim.logits(images))
    chosen = torch.tensor(data.draw(st.permutations(range(70)))[:rows])
    part = victim.gradient(images[chosen], labels[chosen], cross_entropy)
    assert torch.equal(part[0], logits[chosen])
    assert torch.equal(part[1], gradient[chosen])


def test_the_network_sees_tiles_of_one_size():
    network, seen = _network(), []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[0]))
    victim = Victim(network)
    for rows in (1, 31, 32, 33, 70):
        victim.logits(_images(rows))
    assert set(seen) == {victim.tile(torch.device("cpu"), 1)} == {32}
    assert len(seen) == 1 + 1 + 1 + 2 + 3


def test_smaller_tiles_where_memory_is_short():
    network, seen = _network(), []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[0]))
    victim, images = Victim(network), _images(40)
    before = victim.logits(images)
    seen.clear()
    assert victim.halve_tiles(images.device) == 16
    assert torch.allclose(victim.logits(images), before, atol=1e-5)
    assert seen == [16, 16, 16]


def test_the_logits_are_the_networks():
    network, images = _network(), _images(45)
    with torch.no_grad():
        assert torch.allclose(Victim(network).logits(images), network(images), atol=1e-5)
        assert torch.equal(Victim(network, rowwise=False).logits(images), network(images))


def test_a_forward_has_a_graph_and_logits_have_none():
    victim, images = Victim(_network()), _images(40).requires_grad_(True)
    assert victim(images).requires_grad
    assert not victim.logits(images).requires_grad
    (direct,) = torch.autograd.grad(victim(images).square().sum(), images)
    _, gradient = victim.gradient(images, torch.zeros(40).long(), lambda z, _: z.square().sum(1))
    assert torch.allclose(direct, gradient, atol=1e-6)


def test_a_gradient_is_the_summed_losses():
    network, images, labels = _network(), _images(20), torch.arange(20) % 4
    leaf = images.clone().requires_grad_(True)
    loss = nn.functional.cross_entropy(network(leaf), labels, reduction="sum")
    (expected,) = torch.autograd.grad(loss, leaf)
    with torch.no_grad():  # the caller's grad mode does not matter
        _, gradient = Victim(network).gradient(images, labels, cross_entropy)
    assert torch.allclose(gradient, expected, atol=1e-6)


def test_a_network_that_lets_no_gradient_through_has_zero_gradients():
    for function in (lambda images: torch.eye(4)[torch.zeros(len(images)).long()],
                     lambda images: images.detach().flatten(1)[:, :4] * torch.ones(4)):
        network = Stateless(function)
        network.scale = nn.Parameter(torch.ones(()))
        _, gradient = Victim(network).gradient(
            _images(3), torch.zeros(3).long(), cross_entropy)
        assert gradient.shape == (3, 3, 12, 12)
        assert not bool(gradient.any())


def test_no_images_at_all():
    for rowwise in (True, False):
        victim = Victim(_network(), rowwise=rowwise)
        assert victim.logits(_images(0)).shape == (0, 4)
        logits, gradient = victim.gradient(_images(0), torch.zeros(0).long(), cross_entropy)
        assert logits.shape == (0, 4)
        assert gradient.shape == (0, 3, 12, 12)


def test_one_logit_stands_for_two_classes():
    network = _network(classes=1)
    with torch.no_grad():
        single = network(_images(5))
    logits = Victim(network).logits(_images(5))
    assert logits.shape == (5, 2)
    assert logits[:, 0].tolist() == [0.0] * 5
    assert torch.allclose(logits[:, 1], single[:, 0], atol=1e-5)


def test_a_gradient_through_one_logit_is_that_of_the_binary_loss():
    network, images = _network(classes=1), _images(6)
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    leaf = images.clone().requires_grad_(True)
    binary = nn.functional.binary_cross_entropy_with_logits(
        network(leaf)[:, 0], labels.float(), reduction="sum")
    (expected,) = torch.autograd.grad(binary, leaf)
    _, gradient = Victim(network).gradient(images, labels, cross_entropy)
    assert torch.allclose(gradient, expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_logits_come_out_in_float32(dtype):
    logits = torch.tensor([[1.0, 2.0], [0.5, -3.0]], dtype=dtype)
    assert checked(logits, rows=2).dtype == torch.float32


def test_autocast_of_the_caller_is_off_inside():
    victim, images = Victim(_network()), _images(4)
    expected = victim.logits(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(victim.logits(images), expected)


def test_normalize_is_per_channel():
    layer = Normalize([0.5, 0.25, 0.0], [0.5, 0.25, 2.0])
    pixels = torch.tensor([1.0, 0.5, 1.0]).reshape(1, 3, 1, 1)
    assert layer(pixels).flatten().tolist() == [1.0, 1.0, 0.5]


def test_a_network_that_states_its_mean_and_std_is_normalised():
    network = Stateless(lambda images: images.mean(dim=(2, 3)))
    network.mean, network.std = [0.5, 0.4, 0.3], torch.tensor([0.1, 0.2, 0.4])
    whole = with_normalisation(network, 3)
    expected = (torch.ones(3) - torch.tensor([0.5, 0.4, 0.3])) / torch.tensor([0.1, 0.2, 0.4])
    assert torch.allclose(whole(torch.ones(1, 3, 4, 4))[0], expected)


def test_three_values_serve_for_one_grey_channel():
    network = Stateless(lambda images: images.mean(dim=(2, 3)))
    network.mean, network.std = (0.3, 0.4, 0.5), (0.1, 0.2, 0.3)
    grey = with_normalisation(network, 1)(torch.ones(1, 1, 2, 2))
    assert grey.item() == pytest.approx((1.0 - 0.4) / 0.2)


def test_a_network_that_states_nothing_is_left_alone():
    network = _network()
    assert with_normalisation(network, 3) is network
    network.mean = [0.5] * 3
    assert with_normalisation(network, 3) is network


def test_frozen_puts_everything_back():
    network = _network().train()
    network[1].eval()
    network[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    flags = [weight.requires_grad for weight in network.parameters()]
    modes = [module.training for module in network.modules()]
    with frozen(network):
        assert not any(module.training for module in network.modules())
        assert not any(weight.requires_grad for weight in network.parameters())
        network[4].train()(torch.rand(4, 16, 5, 5))  # moves the running statistics
    assert [weight.requires_grad for weight in network.parameters()] == flags
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_frozen_puts_everything_back_after_an_exception_too():
    network = _network().train()
    with pytest.raises(KeyError, match="gone"), frozen(network):
        raise KeyError("gone")
    assert all(module.training for module in network.modules())
    assert all(weight.requires_grad for weight in network.parameters())


def test_frozen_keeps_the_very_same_buffers():
    network = _network()
    places = [buffer.data_ptr() for buffer in network.buffers()]
    with frozen(network):
        pass
    assert [buffer.data_ptr() for buffer in network.buffers()] == places
