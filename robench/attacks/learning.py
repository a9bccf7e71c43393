"""Attacks that learn from some images what they do to others."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from robench.attacks.base import Attack
from robench.attacks.checks import (
    check_batch,
    check_epsilons,
    check_labels,
    check_tensors,
    content_ids,
)
from robench.attacks.draws import Draws
from robench.freezing import frozen
from robench.victim import Victim


class LearnedAttack(Attack):
    """An attack that is fitted before it is called, on other images than those it attacks.

    A subclass implements `learn` beside `perturb`, which finds there what was `learned`:

        attack = robench.attack("uap").fit(model, others, their_labels, epsilons=[0.05])
        results = attack(model, images, labels, epsilons=[0.05])

    It may be called on another model than the one it was fitted on: what was learned is then
    transferred.
    """

    learns: ClassVar[bool] = True
    _learned: dict[float, Tensor] | None = None

    @abstractmethod
    def learn(
        self, victim: Victim, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        """What `perturb` is to know at `epsilon`, C×H×W, from all N×C×H×W `images` in [0,1] with
        `labels` int64 N: right or wrong before, and always in the same order. `victim` is frozen;
        no pass of it is counted. Take random numbers only from `random`."""

    def fit(
        self, model: nn.Module, images: Tensor, labels: Tensor, *, epsilons: Sequence[float],
        seed: int = 0,
    ) -> Self:
        """Learn at each of `epsilons`, each on its own; forget what was learned before.

        What is learned does not depend on the order of the images: they are sorted by content,
        and random draws are keyed by `seed` and content. The model's mode, buffers and gradients
        are as before afterwards. Raises ValueError for unfit images, labels or epsilons, and
        whatever the model raises.
        """
        self._learned = None
        victim = model if isinstance(model, Victim) else Victim(model)
        device = next(iter([*model.parameters(), *model.buffers()]), images).device
        with frozen(victim):
            check_tensors(images, labels)
            check_batch(images, labels)
            if not len(images):
                raise ValueError("images: got none, expected some to learn from")
            steps = sorted(set(check_epsilons(epsilons)))
            names, classes = content_ids(images), labels.tolist()
            order = sorted(range(len(names)), key=lambda row: (names[row], classes[row]))
            inputs = images.detach()[order].to(device)
            truth = labels[order].to(device).long()
            if victim is model:
                victim.renew(inputs)
            else:
                victim.arrange(inputs)
            check_labels(truth, num_classes=victim.logits(inputs[:1]).shape[1])
            self._learned = {
                epsilon: self.learn(
                    victim, inputs, truth, epsilon=epsilon,
                    random=Draws.keyed(
                        [names[row] for row in order], seed=seed,
                        attack=self.name or type(self).__name__, device=device,
                    ),
                ).detach()
                for epsilon in steps
            }
            victim.settle()
        return self

    def learned(self, epsilon: float) -> Tensor:
        """What was learned at `epsilon`, C×H×W. Raises ValueError where nothing was."""
        known = self._learned
        name = self.name or type(self).__name__
        if known is None:
            raise ValueError(
                f"{name} is not fitted: call fit(model, images, labels, epsilons=…) first, with "
                "other images than those it attacks"
            )
        if epsilon not in known:
            fitted = ", ".join(f"{each:g}" for each in known)
            raise ValueError(
                f"epsilons: got {epsilon:g}, expected one that {name} was fitted at ({fitted}): "
                "call fit with it"
            )
        return known[epsilon]

    def check_ready(self, images: Tensor, epsilons: Sequence[float]) -> None:
        for epsilon in epsilons:
            shape = self.learned(epsilon).shape
            if images.shape[1:] != shape:
                raise ValueError(
                    f"images: got {_sized(images.shape[1:])}, expected {_sized(shape)} as those "
                    f"that {self.name or type(self).__name__} was fitted on"
                )


def shuffled(random: Draws) -> Tensor:
    """The images' rows in a random order, int64 N; another one at every call."""
    return random.uniform(1)[:, 0].argsort(stable=True)


def _sized(shape: torch.Size) -> str:
    return "×".join(map(str, shape))
