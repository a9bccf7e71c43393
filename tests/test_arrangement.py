import pytest
import torch
from torch import nn

import robench
from robench.arrangement import TOLERANCE, arranged, channels_last
from robench.attacks.losses import cross_entropy
from robench.victim import Victim


def frozen(network: nn.Module) -> nn.Module:
    return network.eval().requires_grad_(False)


def built(name: str, side: int = 32) -> nn.Module:
    torch.manual_seed(0)
    network = robench.model(name, num_classes=4, image_size=side, in_channels=1)
    for layer in network.modules():  # statistics as a trained network has them
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(std=0.3)
            layer.running_var.uniform_(0.5, 2.0)
    return frozen(network)


def batchnorms(network: nn.Module) -> int:
    return sum(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())


@pytest.mark.parametrize(("name", "left"), [
    ("small-cnn", 0), ("resnet18", 0), ("meddef", 0), ("cbam-resnet34", 0),
    ("timm/mobilenetv3_small_050", None), ("torchvision/densenet121", None),
])
def test_logits_and_gradients_are_the_networks(name, left):
    network, images = built(name), torch.rand(6, 1, 32, 32)
    faster = arranged(network, images)
    assert faster is not None
    one, other = (images.clone().requires_grad_(True) for _ in range(2))
    expected, given = network(one), faster(channels_last(other))
    scale = float(expected.detach().abs().max())
    assert float((expected - given).detach().abs().max()) <= TOLERANCE * scale
    slope = torch.autograd.grad(expected[:, 0].sum(), one)[0]
    found = torch.autograd.grad(given[:, 0].sum(), other)[0]
    assert float((slope - found).abs().max()) <= 1e-3 * float(slope.abs().max())
    if left is not None:
        assert batchnorms(network) > batchnorms(faster) == left


def test_the_network_itself_is_left_alone():
    network = built("resnet18")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    arranged(network, torch.rand(4, 1, 32, 32))
    assert batchnorms(network) == 20
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])
        assert tensor.is_contiguous()


class Shared(nn.Module):
    """One convolution read twice, once past its BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 3, 3), nn.Conv2d(1, 3, 3)
        self.norm, self.again = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.again.running_mean.fill_(0.7)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        seen = self.one(images)
        return (self.norm(seen) + seen + self.again(self.two(images))
                + self.again(self.one(images))).mean(dim=(2, 3))


def test_what_has_other_readers_is_not_folded():
    network = frozen(Shared())
    faster = arranged(network, torch.rand(4, 1, 8, 8))
    assert faster is not None
    assert batchnorms(faster) == 2


class Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.calls = nn.Conv2d(1, 3, 3), 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.layer(images).mean(dim=(2, 3))


class Dice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 3, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(images).mean(dim=(2, 3)) + 0.1 * torch.randn(1)


class NotCopied(nn.Conv2d):
    def __init__(self) -> None:
        super().__init__(1, 3, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images).mean(dim=(2, 3))

    def __deepcopy__(self, memo: object) -> nn.Module:
        raise TypeError("one of a kind")


def hooked() -> nn.Module:
    network = built("small-cnn", 28)
    network.register_forward_hook(lambda *_: None)
    return network


@pytest.mark.parametrize("make", [
    Counts, Dice, NotCopied, hooked, lambda: built("mlp", 28),
])
def test_what_a_copy_might_not_do_is_left_as_it_is(make):
    assert arranged(frozen(make()), torch.rand(4, 1, 28, 28)) is None


def test_global_random_numbers_are_as_before():
    network, images = frozen(Dice()), torch.rand(4, 1, 8, 8)
    before = torch.random.get_rng_state()
    arranged(network, images)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", ["small-cnn", "resnet18", "meddef"])
def test_small_tiles_give_the_same_bits(name, monkeypatch):
    network, images = built(name, 16), torch.rand(64, 1, 16, 16)
    victim, whole = (Victim(network).eval() for _ in range(2))
    for each in (victim, whole):
        each.arrange(images)
        assert each.is_arranged
    monkeypatch.setattr(whole._tiling, "candidates", lambda device: [])
    labels = torch.zeros(64, dtype=torch.int64)
    for rows in (3, 13, 23, 40):
        expected = whole.gradient(images[:rows], labels[:rows], cross_entropy)
        for _ in range(8):  # the later ones in pieces that the first ones tried
            found = victim.gradient(images[:rows], labels[:rows], cross_entropy)
            for one, other in zip(found, expected, strict=True):
                assert torch.equal(one, other)
        assert torch.equal(victim.logits(images[:rows]), whole.logits(images[:rows]))
    assert {4, 16, 24} <= set().union(*victim._tiling._same.values())


def test_a_verdict_in_doubt_is_the_networks_own():
    network = built("small-cnn", 28)
    victim = Victim(network).eval()
    images = torch.rand(8, 1, 28, 28)
    victim.arrange(images)
    logits = victim.logits(images)
    close = logits.clone()
    close[:, 1] = close[:, 0] + 1e-7  # as rounding might have it
    close[:, 2:] -= 10
    close[4:, 1] -= 5
    confirmed = victim.confirmed(images, close, victim.in_doubt(close))
    own = Victim(network).eval().logits(images)
    assert torch.equal(confirmed[:4], own[:4])
    assert torch.equal(confirmed[4:], close[4:])
    assert victim.is_arranged


def test_a_callers_own_victim_is_not_arranged_by_an_attack():
    victim = Victim(built("small-cnn", 28)).eval()
    robench.attack("fgsm")(victim, torch.rand(3, 1, 28, 28), torch.tensor([0, 1, 2]),
                           epsilons=[0.1])
    assert not victim.is_arranged


def test_a_copy_that_computes_something_else_is_not_used(monkeypatch):
    """As a kernel that is off by a thousandth might, or a way back that is wrong."""
    network, images = built("small-cnn", 28), torch.rand(6, 1, 28, 28)

    def off(layer: nn.Conv2d, images: torch.Tensor) -> torch.Tensor:
        return nn.Conv2d.forward(layer, images) * (1 + 1e-3)

    with monkeypatch.context() as patched:
        patched.setattr("robench.entrance.EntranceConvolution.forward", off)
        assert arranged(network, images) is None
    with monkeypatch.context() as patched:
        patched.setattr("robench.pooled_entrance._Seen.slopes",
                        lambda seen, slope, rows: torch.zeros(len(slope), 1, *seen.size))
        patched.setattr("robench.entrance._to_the_pixels",
                        lambda slope, convolution, shape: torch.zeros(shape))
        assert arranged(network, images) is None
    assert arranged(network, images) is not None


class Squeezes(nn.Module):
    """Of one image it gives no table of logits."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
                                  nn.Conv2d(8, 8, 3), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Linear(8, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(images).squeeze())


def test_a_network_that_fails_in_a_small_piece_is_attacked_in_tiles():
    network, images = frozen(Squeezes().eval()), torch.rand(33, 1, 12, 12)
    victim = Victim(network).eval()
    victim.arrange(images)
    assert victim.is_arranged
    labels = victim.logits(images).argmax(dim=1)
    for _ in range(3):
        logits, gradient = victim.gradient(images, labels, cross_entropy)
    assert len(logits) == len(gradient) == 33


def test_images_leave_a_batch_that_is_one_tile():
    network = built("small-cnn", 16)
    victim, images = Victim(network).eval(), torch.rand(20, 1, 16, 16)
    assert not victim.saves(images, 2)  # whole tiles only
    victim.arrange(images)
    assert not victim.saves(images, 20)
    assert victim.saves(images, 2)
    victim._tiling._same["passes"] = dict.fromkeys(range(20), False)  # no smaller piece does
    assert not victim.saves(images, 2)
    assert victim.saves(images, 0)
