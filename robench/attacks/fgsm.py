"""The fast gradient sign method."""

from __future__ import annotations

from torch import Tensor

from robench.attacks.balls import Norm, ascent_direction
from robench.attacks.base import Attack
from robench.attacks.draws import Draws
from robench.attacks.query import Query
from robench.attacks.settings import check_norm


class FGSM(Attack):
    """One step of length epsilon along the gradient of the cross-entropy.

    Goodfellow et al. 2015 (arXiv 1412.6572), section 4: x + ε·sign(∇ₓ J). With `norm="l2"`, the
    gradient over its L2 norm stands for the sign. All epsilons share one gradient.
    """

    name = "fgsm"

    def __init__(self, *, norm: Norm = "linf") -> None:
        self.norm = check_norm(norm)

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        return images + epsilon * ascent_direction(victim.clean_gradient(), self.norm)
