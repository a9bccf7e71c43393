import pytest
import torch
from torch import Tensor, nn

import robench
from robench.attacks.losses import cross_entropy
from robench.errors import VictimError
from robench.redrawn import Redrawn


class Coin(nn.Module):
    """A linear network whose logits are turned round in one pass of four."""

    def __init__(self, wrong: float = 0.25) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0, 0.5, 1.5]))
        self.wrong = wrong

    def forward(self, images: Tensor) -> Tensor:
        turned = torch.where(torch.rand(len(images)) < self.wrong, -1.0, 1.0)
        score = 4 * (images.flatten(1) - 0.5) @ self.weight * turned
        return torch.stack([-score, score], dim=1)


def some(count: int = 40) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, 1, 2, 2, generator=generator)
    return images, ((images.flatten(1) - 0.5) @ Coin().weight > 0).long().detach()


def test_logits_are_the_mean_and_gradients_those_of_a_loss_of_the_mean():
    network, (images, labels) = Coin().eval().requires_grad_(False), some(32)
    torch.manual_seed(3)
    logits, slope = Redrawn(network, draws=6).gradient(images, labels, cross_entropy)
    torch.manual_seed(3)
    leaf = images.clone().requires_grad_(True)
    mean = sum(torch.log_softmax(network(leaf), dim=1) for _ in range(6)) / 6
    assert torch.allclose(logits, mean.detach(), atol=1e-6)
    expected = torch.autograd.grad(cross_entropy(mean, labels).sum(), leaf)[0]
    assert torch.allclose(slope, expected, atol=1e-6)


def test_the_verdict_is_that_of_most_draws():
    victim, (images, labels) = Redrawn(Coin().eval(), draws=25), some()
    torch.manual_seed(0)
    logits, answers = victim.votes(images)
    assert answers.shape == (25, 40)
    counted = torch.stack([(answers == kind).sum(dim=0) for kind in range(2)], dim=1)
    assert torch.equal(logits.argmax(dim=1), counted.argmax(dim=1))  # 25 votes are never equal
    assert float((answers != labels).float().mean()) == pytest.approx(0.25, abs=0.06)
    assert float((logits.argmax(dim=1) == labels).float().mean()) > 0.95


def test_a_success_by_chance_does_not_count():
    """One draw in four is wrong at the clean image already: noise of no size breaks nothing."""
    victim, (images, labels) = Redrawn(Coin().eval().requires_grad_(False), draws=15), some()
    torch.manual_seed(1)
    (found,) = robench.attack("pgd", steps=20, step_size=1e-5)(
        victim, images, labels, epsilons=[1e-5])
    assert float(found.success.float().mean()) <= 0.1
    (found,) = robench.attack("pgd", steps=5)(victim, images, labels, epsilons=[0.4])
    assert float(found.success.float().mean()) >= 0.9


def test_every_draw_is_counted():
    victim, (images, labels) = Redrawn(Coin(0.0).eval().requires_grad_(False), draws=7), some(6)
    (found,) = robench.attack("fgsm")(victim, images, labels, epsilons=[1e-6])
    assert found.forwards.tolist() == [14] * 6  # the gradient, and one look
    assert found.backwards.tolist() == [7] * 6


@pytest.mark.parametrize("draws", [0, -1, 2.5, True])
def test_what_is_no_number_of_draws(draws):
    with pytest.raises(VictimError, match="draws"):
        Redrawn(Coin(), draws=draws)
