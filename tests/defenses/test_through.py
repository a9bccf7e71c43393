import pytest
import torch
from torch import nn

from robench.defenses.through import with_stand_in
from robench.errors import VictimError


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))


class Rounds(nn.Module):
    def __init__(self, inner: nn.Module, levels: int = 4, copies: int = 1) -> None:
        super().__init__()
        self.inner, self.levels, self.copies = inner, levels, copies

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        rounded = (images * self.levels).round() / self.levels
        return sum(self.inner(rounded) for _ in range(self.copies)) / self.copies


def gradient(defended: nn.Module, images: torch.Tensor) -> torch.Tensor:
    leaf = images.clone().requires_grad_(True)
    return torch.autograd.grad(defended(leaf).square().sum(), leaf)[0]


@pytest.mark.parametrize("copies", [1, 3])
def test_forward_is_the_defenses_and_backward_the_stand_ins(copies):
    images, inner = torch.rand(5, 1, 4, 4), network()
    plain = Rounds(inner, copies=copies)
    defended = with_stand_in(Rounds, inner, levels=4, copies=copies)
    assert torch.equal(defended(images), plain(images))
    leaf = images.clone().requires_grad_(True)
    assert torch.equal(defended(leaf).detach(), plain(images))
    rounded = (images * 4).round() / 4
    assert torch.allclose(gradient(defended, images), gradient(inner, rounded), atol=1e-6)
    turned = with_stand_in(Rounds, inner, stand_in=lambda pixels: 1 - 2 * pixels, copies=copies)
    assert torch.equal(turned(images), plain(images))
    assert torch.allclose(gradient(turned, images), -2 * gradient(inner, rounded), atol=1e-6)


def test_pixels_of_another_shape_need_a_stand_in_of_their_own():
    class Doubles(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.inner(images.repeat(2, 1, 1, 1))[: len(images)]

    defended = with_stand_in(Doubles, network())
    images = torch.rand(5, 1, 4, 4)
    assert defended(images).shape == (5, 3)
    with pytest.raises(VictimError, match=r"(?s)hands other images.*attribute backward"):
        gradient(defended, images)
    fitting = with_stand_in(Doubles, network(), stand_in=lambda pixels: pixels.repeat(2, 1, 1, 1))
    assert float(gradient(fitting, images).abs().sum()) > 0


def test_weights_are_the_networks_alone():
    inner = network()
    defended = with_stand_in(Rounds, inner)
    assert {id(weight) for weight in defended.parameters()} == {
        id(weight) for weight in inner.parameters()}
    assert len(list(defended.parameters())) == len(list(inner.parameters()))
