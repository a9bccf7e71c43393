"""AutoAttack's members one after another, each on all images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from peers import Attacking, Peer
from torch import Tensor, nn

import robench
from robench.attacks.autoattack import AutoAttack
from robench.attacks.base import Attack
from robench.attacks.checks import content_ids
from robench.attacks.draws import Draws
from robench.attacks.query import Query
from robench.attacks.result import AttackResult
from robench.freezing import frozen


class Member(AutoAttack):
    """One member alone, with the random numbers that it has in the ensemble: what it breaks does
    not hang on the images that share its batch, so that all members break what the ensemble does.
    """

    def __init__(self, number: int, **settings: Any) -> None:
        super().__init__(**settings)
        self._number = number

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        return list(self.parts())[self._number].perturb(
            victim, images, labels, epsilon=epsilon, random=random.restarted(self._number)
        )


def climbed(
    attack: Attack, victim: robench.Victim, images: Tensor, labels: Tensor, epsilon: float, *,
    to_the_end: bool = False,
) -> AttackResult:
    """What an attack does on a victim that is arranged, to images that it gets right."""
    with frozen(victim):
        (result,) = attack.climb(
            victim, images, labels, epsilons=[epsilon], image_ids=content_ids(images), seed=0,
            ladder=True, to_the_end=to_the_end,
        )
    return result


def one_by_one(settings: dict[str, Any], *, to_the_end: bool = False) -> Peer:
    """Per image the first member that broke it; each may leave the images behind that it has
    broken itself, or go on `to_the_end` with all."""
    members = [Member(number, **settings)
               for number, _ in enumerate(AutoAttack(**settings).parts())]

    def prepared(network: nn.Module, like: Tensor) -> Attacking:
        victim = robench.Victim(network).eval()
        victim.arrange(like)

        def run(images: Tensor, labels: Tensor, epsilons: Sequence[float]) -> list[Tensor]:
            (epsilon,) = epsilons
            worst, broken = images.clone(), torch.zeros_like(labels, dtype=torch.bool)
            for member in members:
                result = climbed(member, victim, images, labels, epsilon, to_the_end=to_the_end)
                new = result.success & ~broken
                worst[new] = result.adversarial[new]
                broken |= new
            return [worst]

        return run

    return prepared
