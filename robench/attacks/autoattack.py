"""AutoAttack: one attack after another on the images that still stand, the worst case of all."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from robench.attacks.apgd import APGD, APGDTargeted
from robench.attacks.balls import Norm, project
from robench.attacks.base import Attack
from robench.attacks.draws import Draws
from robench.attacks.query import Query
from robench.attacks.settings import check_norm, check_steps


class _Ensemble(Attack):
    """Members in their order; each has the images that the ones before it left unbroken.

    Every member draws from random streams of its own, so what it does to an image does not
    depend on how much the others drew.
    """

    @abstractmethod
    def members(self, num_classes: int) -> tuple[str, ...]:
        """What there is to run on a network of so many classes, in this order."""

    @abstractmethod
    def parts(self) -> Iterator[Attack]:
        """The members, as attacks."""

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        final = images.clone()
        rows = torch.arange(len(images), device=images.device)
        for number, member in enumerate(self.parts()):
            if number:
                victim.logits(final[rows])
                kept = victim.kept(waiting=True)
                if kept is not None:
                    rows, victim, random = rows[kept], victim.select(kept), random.select(kept)
                if len(rows) == 0:
                    break
            with victim.running(number):
                found = member.perturb(
                    victim, images[rows], labels[rows], epsilon=epsilon,
                    random=random.restarted(number),
                )
            final[rows] = project(images[rows], found.detach(), epsilon, self.norm)
        return final


class AutoAttack(_Ensemble):
    """The standard ensemble of Croce & Hein 2020 (arXiv 2003.01690), section 5, and its order.

    APGD on the cross-entropy, APGD on the targeted difference of logits ratio, targeted FAB and
    Square. That ratio divides by the gap to the third and fourth logit: with three classes the
    second member ascends the margin to each target instead, and with two, the margin. A result's
    `members` says which ran: once no image stands, or the budget is spent, the others do not.
    `steps` are those of APGD and FAB, `targets` the classes tried by the targeted members,
    `queries` those of Square.
    """

    name = "autoattack"

    def __init__(
        self, *, norm: Norm = "linf", steps: int = 100, targets: int = 9, queries: int = 5000
    ) -> None:
        self.norm = check_norm(norm)
        self.steps = check_steps(steps)
        self.targets = check_steps(targets, "targets")
        self.queries = check_steps(queries, "queries")

    def members(self, num_classes: int) -> tuple[str, ...]:
        second = {2: "apgd-margin", 3: "apgd-margin-t"}.get(num_classes, "apgd-t")
        return ("apgd-ce", second, "fab-t", "square")

    def parts(self) -> Iterator[Attack]:
        from robench.attacks.fab import FAB
        from robench.attacks.square import Square

        yield APGD(norm=self.norm, steps=self.steps)
        yield APGDTargeted(norm=self.norm, steps=self.steps, targets=self.targets)
        yield FAB(norm=self.norm, steps=self.steps, targeted=True, targets=self.targets)
        yield Square(norm=self.norm, queries=self.queries)


class AutoAttackRand(_Ensemble):
    """AutoAttack for networks that draw random numbers: APGD on two losses, each gradient the
    mean of `eot` passes.

    Croce & Hein 2020, section 6 (their "rand" version): APGD on the cross-entropy and on the
    difference of logits ratio, which is the margin with two classes.
    """

    name = "autoattack-rand"
    version = 2

    def __init__(self, *, norm: Norm = "linf", steps: int = 100, eot: int = 20) -> None:
        self.norm = check_norm(norm)
        self.steps = check_steps(steps)
        self.eot = check_steps(eot, "eot")

    def members(self, num_classes: int) -> tuple[str, ...]:
        return ("apgd-ce", "apgd-margin" if num_classes == 2 else "apgd-dlr")

    def parts(self) -> Iterator[Attack]:
        yield APGD(norm=self.norm, steps=self.steps, eot=self.eot)
        yield APGD(norm=self.norm, steps=self.steps, eot=self.eot, loss="dlr")
