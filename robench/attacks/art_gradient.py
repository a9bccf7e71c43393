"""Attacks of ART within a budget that follow the gradient of a loss."""

# ruff: noqa: RUF009 (the calls make dataclass fields)

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from torch import Tensor

from robench.attacks.art import ORDERS
from robench.attacks.art_classifier import known_to_give_logits
from robench.attacks.art_settings import choice, classes, number, whole
from robench.attacks.art_shapes import check_room_for_squares
from robench.attacks.art_wrapped import Wrapped
from robench.attacks.balls import Norm
from robench.attacks.targets import Target

_LOSSES = ("cross_entropy", "difference_logits_ratio")


@dataclass(kw_only=True, eq=False)
class ArtMomentumIterative(Wrapped):
    """ART's MomentumIterativeMethod: signed steps along an average of normalised gradients.

    Dong et al. 2018 (arXiv 1710.06081), algorithm 1. `eps_step` None is ε/`max_iter`, as there.
    """

    name = "art/momentum-iterative"
    art = "MomentumIterativeMethod"
    one_by_one = False

    norm: Norm = choice("linf", "linf", "l2", "l1")
    eps_step: float | None = number(None, above=0)
    decay: float = number(1.0, least=0)
    max_iter: int = whole(100)
    target: Target | None = classes()

    def settings(self, epsilon: float) -> dict[str, Any]:
        return {**super().settings(epsilon), "eps_step": self.eps_step or epsilon / self.max_iter}


@dataclass(kw_only=True, eq=False)
class ArtAPGD(Wrapped):
    """ART's AutoProjectedGradientDescent, from random points, each for so many steps.

    Croce and Hein 2020 (arXiv 2003.01690), algorithm 1. `eps_step` None is 2·ε, the first step
    there. `loss_type` None is the cross-entropy, by ART's own way to it.
    """

    name = "art/auto-projected-gradient-descent"
    art = "AutoProjectedGradientDescent"

    norm: Norm = choice("linf", "linf", "l2", "l1")
    eps_step: float | None = number(None, above=0)
    max_iter: int = whole(100)
    nb_random_init: int = whole(5)
    loss_type: str | None = choice(None, *_LOSSES)
    target: Target | None = classes()

    def settings(self, epsilon: float) -> dict[str, Any]:
        return {**super().settings(epsilon), "eps_step": self.eps_step or 2 * epsilon}

    def build(self, classifier: Any, *, epsilon: float, batch_size: int) -> Any:
        if self.loss_type == _LOSSES[1] and classifier.nb_classes < 3:
            raise ValueError(f"loss_type: got {self.loss_type!r}, expected cross_entropy with two "
                             "classes: the ratio divides by the third logit")
        with known_to_give_logits(classifier):
            return super().build(classifier, epsilon=epsilon, batch_size=batch_size)


@dataclass(kw_only=True, eq=False)
class ArtACG(ArtAPGD):
    """ART's AutoConjugateGradient: APGD's steps along conjugate directions.

    Yamamura et al. 2022 (arXiv 2206.09628), algorithm 1.
    """

    name = "art/auto-conjugate-gradient"
    art = "AutoConjugateGradient"


@dataclass(kw_only=True, eq=False)
class ArtReACG(ArtAPGD):
    """ART's RescalingAutoConjugateGradient: ACG with rescaled directions.

    Yamamura et al. 2024 (ReACG).
    """

    name = "art/rescaling-auto-conjugate-gradient"
    art = "RescalingAutoConjugateGradient"


@dataclass(kw_only=True, eq=False)
class ArtAutoAttack(Wrapped):
    """ART's AutoAttack: APGD on two losses, DeepFool and Square, on what is left of each.

    It is another ensemble than Croce and Hein's (2020), which has targeted APGD and FAB: compare
    it with no published number. With two classes the ratio of logits is left out. `eps_step` None
    is 2·ε. `max_iter`, `nb_random_init`, `square_max_iter` and `square_nb_restarts` are its
    members', as ART sets them. Images must have room for Square's first square.
    """

    name = "art/auto-attack"
    art = "AutoAttack"
    version = 2

    norm: Norm = choice("linf", "linf", "l2")
    eps_step: float | None = number(None, above=0)
    max_iter: int = whole(100)
    nb_random_init: int = whole(5)
    square_max_iter: int = whole(5000)
    square_nb_restarts: int = whole(5)

    def check_ready(self, images: Tensor, epsilons: Sequence[float]) -> None:
        check_room_for_squares(self.name, images, self.norm)

    def build(self, classifier: Any, *, epsilon: float, batch_size: int) -> Any:
        from art.attacks.evasion import (
            AutoProjectedGradientDescent,
            DeepFool,
            SquareAttack,
        )

        size: dict[str, Any] = {"eps": epsilon, "norm": ORDERS[self.norm],
                                "batch_size": batch_size, "verbose": False}
        step = self.eps_step or 2 * epsilon
        with known_to_give_logits(classifier):
            members = [
                AutoProjectedGradientDescent(
                    classifier, eps_step=step, max_iter=self.max_iter, loss_type=loss,
                    nb_random_init=self.nb_random_init, **size,
                )
                for loss in _LOSSES if loss == _LOSSES[0] or classifier.nb_classes > 2
            ]
        members += [
            DeepFool(classifier, max_iter=self.max_iter, epsilon=1e-3, nb_grads=10,
                     batch_size=batch_size, verbose=False),
            SquareAttack(classifier, max_iter=self.square_max_iter,
                         nb_restarts=self.square_nb_restarts, **size),
        ]
        whole_attack = self.made_by()(
            classifier, norm=ORDERS[self.norm], eps=epsilon, eps_step=step, attacks=members,
            batch_size=batch_size,
        )
        return _WithMultiprocess(whole_attack)


class _WithMultiprocess:
    """ART's AutoAttack imports `multiprocess`, which it does not declare, also where it starts
    no process; the standard library's `multiprocessing` then stands in."""

    def __init__(self, attack: Any) -> None:
        self._attack = attack

    def generate(self, **given: Any) -> Any:
        with _stand_in("multiprocess", "multiprocessing"):
            return self._attack.generate(**given)


@contextmanager
def _stand_in(name: str, other: str) -> Iterator[None]:
    if name in sys.modules or find_spec(name) is not None:
        yield
        return
    sys.modules[name] = __import__(other)
    try:
        yield
    finally:
        del sys.modules[name]
