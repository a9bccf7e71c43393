"""What an attack gives back, per image."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class AttackResult:
    """N images under one attack at one epsilon.

    `adversarial` float32 N×C×H×W, inside the ball and [0,1]; the clean image where it was wrong
    before the attack. `success` bool: right before and wrong after. `prediction` int64 of
    `adversarial`, `margin` float32 its true logit minus the best other. `distance` float32 from
    the clean image, in the attack's norm. `forwards`, `backwards` int32: passes of the network
    that the attack used on the image at the epsilon that decided it. `first_success` int32: after
    how many of these forwards the image broke; -1 where it did not. `gradient_dead` bool: the
    attack asked for gradients and got only zeros. `unstarted` bool: it found no point to begin
    with, and did not attack. `seconds`: wall time at this epsilon. `members`
    are the attacks that an ensemble ran at this epsilon, in their order.
    """

    epsilon: float
    adversarial: Tensor
    success: Tensor
    prediction: Tensor
    margin: Tensor
    distance: Tensor
    forwards: Tensor
    backwards: Tensor
    first_success: Tensor
    gradient_dead: Tensor
    unstarted: Tensor
    seconds: float
    members: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.success)

    def with_rows(self, rows: Tensor, other: AttackResult) -> AttackResult:
        """This result with `rows` as in `other`, at the epsilon and time, and with the members, of
        `other`."""
        changed = {}
        for name in _PER_IMAGE:
            values = getattr(self, name).clone()
            values[rows] = getattr(other, name)
            changed[name] = values
        return replace(
            self, epsilon=other.epsilon, seconds=other.seconds, members=other.members, **changed
        )

    def select(self, rows: Tensor) -> AttackResult:
        """The results of some rows."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _PER_IMAGE})

    def within(
        self, epsilon: float, *, images: Tensor, labels: Tensor, margin: Tensor
    ) -> AttackResult:
        """What a search of the smallest perturbation found within `epsilon`; where that is
        nothing, the clean image, its label and its `margin`."""
        near = self.success & (self.distance <= epsilon)
        return replace(
            self, epsilon=epsilon, success=near,
            adversarial=torch.where(near[:, None, None, None], self.adversarial, images),
            prediction=torch.where(near, self.prediction, labels),
            margin=torch.where(near, self.margin, margin),
            distance=torch.where(near, self.distance, 0.0),
            first_success=torch.where(near, self.first_success, -1),
        )

    @classmethod
    def untouched(
        cls, images: Tensor, prediction: Tensor, margin: Tensor, *, epsilon: float
    ) -> AttackResult:
        """Images before any attack."""
        def full(value: int | bool, dtype: torch.dtype) -> Tensor:
            return torch.full((len(images),), value, dtype=dtype, device=images.device)

        return cls(
            epsilon=epsilon, adversarial=images.clone(), success=full(False, torch.bool),
            prediction=prediction, margin=margin, distance=full(0, torch.float32),
            forwards=full(0, torch.int32), backwards=full(0, torch.int32),
            first_success=full(-1, torch.int32), gradient_dead=full(False, torch.bool),
            unstarted=full(False, torch.bool), seconds=0.0,
        )


_PER_IMAGE = tuple(
    item.name for item in fields(AttackResult) if item.name not in ("epsilon", "seconds", "members")
)
