"""The GAN that is told the class: its losses, its gradient penalty, and what it learns."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

from robench.errors import UserError
from robench.training.attack_gan import KINDS, AttackGan, GanKind
from robench.training.attack_gan_losses import attack_gan_loss, gradient_penalty

from .test_craft import seeded

SHAPE: dict[str, Any] = {"num_classes": 3, "in_channels": 1, "image_size": (8, 8), "latent": 4,
                         "width": 4, "resolution": 64}  # fmt: skip


def gan(kind: GanKind, **changes: Any) -> AttackGan:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AttackGan(kind, **{**SHAPE, **changes}).train()


def real(count: int = 6) -> tuple[Tensor, Tensor]:
    return torch.rand(count, 1, 8, 8, generator=seeded(1)), torch.arange(count) % 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(8, 8), (12, 20)])
def test_images_and_scores_depend_on_the_class(kind: GanKind, size: tuple[int, int]) -> None:
    network = gan(kind, image_size=size, in_channels=3).eval()
    zeros, ones = torch.zeros(5, dtype=torch.int64), torch.ones(5, dtype=torch.int64)
    with torch.no_grad():
        made = [network.generate(labels, seeded(2)) for labels in (zeros, zeros, ones)]
        scores = [network.scores(made[0], labels) for labels in (zeros, ones)]
    assert made[0].shape == (5, 3, *size)
    assert 0 <= float(made[0].min()) <= float(made[0].max()) <= 1
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
    assert scores[0].shape == (5,)
    assert not torch.equal(*scores)


def test_the_gradient_penalty_is_that_of_the_interpolated_images() -> None:
    network, (images, labels) = gan("wgan"), real()
    generated = torch.rand(6, 1, 8, 8, generator=seeded(3))
    share = torch.rand(6, 1, 1, 1, generator=seeded(4))
    total = 0.0
    for row in range(6):
        def score(signed: Tensor, row: int = row) -> Tensor:
            return network.scores((signed[None] + 1) / 2, labels[row : row + 1])[0]

        point = share[row] * images[row] + (1 - share[row]) * generated[row]
        slope = torch.autograd.functional.jacobian(score, 2 * point - 1)
        total += (float(slope.norm()) - 1) ** 2
    found = gradient_penalty(network, images, generated, labels, seeded(4))
    assert found.item() == pytest.approx(total / 6, rel=1e-4)
    found.backward()
    assert any(bool(weight.grad.any()) for weight in network.critic.parameters()
               if weight.grad is not None)


def parts(network: AttackGan) -> dict[str, Tensor | None]:
    return {name: weight.grad for name, weight in network.named_parameters()}


@pytest.mark.parametrize("kind", KINDS)
def test_one_backward_gives_critic_and_generator_each_its_own_gradient(kind: GanKind) -> None:
    network, other, (images, labels) = gan(kind), gan(kind), real()
    loss = attack_gan_loss(network, images, labels, critic_steps=1, generator=seeded(5))
    loss.backward()
    assert int(network.updates) == 1

    draws = seeded(5)
    fakes = other.generate(labels, draws)
    scores = other.scores(torch.cat([images, fakes.detach()]), torch.cat([labels, labels]))
    first, second = scores[:6], scores[6:]
    if kind == "wgan":
        of_critic = second.mean() - first.mean() + 10 * gradient_penalty(
            other, images, fakes.detach(), labels, draws
        )
    else:
        of_critic = -(first.sigmoid().log() + (1 - second.sigmoid()).log()).mean()
    other.critic.eval()  # the same power iterates
    again = other.scores(fakes, labels)
    of_generator = -again.mean() if kind == "wgan" else -again.sigmoid().log().mean()
    assert loss.item() == pytest.approx((of_critic + of_generator).item(), rel=1e-4)
    for part, alone in (("critic", of_critic), ("generator", of_generator)):
        named = dict(getattr(other, part).named_parameters(prefix=part))
        found = torch.autograd.grad(alone, [*named.values()], retain_graph=True, allow_unused=True)
        for name, gradient in zip(named, found, strict=True):
            got = parts(network)[name]
            if gradient is None or not bool(gradient.any()):
                assert got is None or float(got.abs().max()) < 1e-7, name
            else:
                assert torch.allclose(got, gradient, atol=1e-5), name


def test_the_wasserstein_generator_takes_part_in_every_nth_batch() -> None:
    network, (images, labels) = gan("wgan"), real()
    took_part = []
    for _ in range(7):
        network.zero_grad(set_to_none=True)
        attack_gan_loss(network, images, labels, critic_steps=3, generator=seeded()).backward()
        took_part.append(any(weight.grad is not None for weight in network.generator.parameters()))
        assert all(weight.grad is not None for name, weight in network.critic.named_parameters()
                   if name.endswith("weight"))
    assert took_part == [False, False, True, False, False, True, False]
    assert int(network.updates) == 7


def class_images(labels: Tensor, random: torch.Generator) -> Tensor:
    """Grey images, the darker the lower the class, with noise."""
    level = 0.2 + 0.3 * labels.float()[:, None, None, None]
    return (level + 0.05 * torch.randn(len(labels), 1, 8, 8, generator=random)).clamp(0, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_what_images_of_a_class_look_like(kind: GanKind) -> None:
    network, random = gan(kind, width=8), seeded(7)
    betas = (0.0, 0.9) if kind == "wgan" else (0.5, 0.999)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3, betas=betas)
    labels = torch.arange(12) % 3
    before = copy.deepcopy(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(250):
            loss = attack_gan_loss(
                network, class_images(labels, random), labels, critic_steps=2, generator=random
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    wanted = 0.2 + 0.3 * labels.float()
    errors = []
    for each in (before, network):
        with torch.no_grad():
            levels = each.eval().generate(labels, seeded(8)).mean(dim=(1, 2, 3))
        errors.append(float((levels - wanted).abs().mean()))
    assert errors[1] < 0.5 * errors[0]
    assert stats.spearmanr(levels, labels).statistic > 0.8


@pytest.mark.parametrize(("changes", "told"), [
    ({"resolution": 2}, "resolution"), ({"image_size": (4, 4)}, "image_size"),
    ({"latent": 0}, "latent"), ({"width": 0}, "width"), ({"width": 2.5}, "width"),
])  # fmt: skip
@pytest.mark.parametrize("kind", KINDS)
def test_unfit_shapes(kind: GanKind, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        AttackGan(kind, **{**SHAPE, **changes})
