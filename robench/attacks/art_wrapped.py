"""What the attacks of ART have in common that keep ART's own names for their settings."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from robench.attacks.art import ORDERS, ArtAttack
from robench.attacks.art_settings import check_fields, number
from robench.attacks.draws import Draws
from robench.attacks.query import Query


@dataclass(kw_only=True, eq=False)
class Wrapped(ArtAttack):
    """An attack of ART by the name of its class, `art`, with fields for its settings.

    They are handed to ART's constructor by their names; `norm` in ART's words. A `target` other
    than None makes the attack targeted, and `y` those classes. ART calls its budget `eps`.
    """

    one_by_one = True
    reads: ClassVar[str] = "labels"
    """What ART is given as `y`: "labels", true ones, or targets with `target`; "targets"; or
    "nothing": it then takes the network's prediction, which is right, for the label."""
    least_classes: ClassVar[int] = 2
    """How many classes ART must be told of at least."""
    takes_batches: ClassVar[bool] = True
    """False where ART's code fails on more than one image."""

    time_limit_s: float | None = number(None, above=0)

    def __post_init__(self) -> None:
        check_fields(self)

    def build(self, classifier: Any, *, epsilon: float, batch_size: int) -> Any:
        if batch_size > 1 and not self.takes_batches:
            raise ValueError(f"{self.name}: got a network whose rows depend on their batch, "
                             "expected another: ART takes one image at a time")
        return self.made(self.made_by(), classifier, epsilon=epsilon, batch_size=batch_size)

    def made(self, made_by: Any, classifier: Any, *, epsilon: float, batch_size: int) -> Any:
        """ART's attack with those settings that its constructor has."""
        known = inspect.signature(made_by.__init__).parameters
        common = {
            "eps": epsilon, "batch_size": batch_size, "verbose": False, "summary_writer": False,
            "targeted": self.chosen_target is not None,
        }
        settings = {**common, **self.settings(epsilon)}
        return made_by(
            classifier, **{name: value for name, value in settings.items() if name in known}
        )

    def settings(self, epsilon: float) -> dict[str, Any]:
        """The fields as ART takes them, at one epsilon."""
        own = {item.name: getattr(self, item.name) for item in fields(self)}
        return {**own, "norm": ORDERS.get(self.norm)}

    def num_classes(self, victim: Query) -> int:
        """Those of the network, which one pass tells."""
        return max(victim.logits(victim.images).shape[1], self.least_classes)

    def aims(self, victim: Query, random: Draws) -> Tensor | None:
        if self.reads == "nothing" and self.chosen_target is None:
            return None
        return super().aims(victim, random)


def unmoved(images: Tensor, returned: Tensor, tolerance: float) -> Tensor:
    """`returned` with the pixels that moved by no more than `tolerance` set back."""
    return torch.where((returned - images).abs() > tolerance, returned, images)
