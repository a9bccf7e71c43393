"""The fast gradient sign method."""

from __future__ import annotations

import torch
from torch import Tensor

from robench.attacks.balls import Norm, ascent_direction
from robench.attacks.base import Attack
from robench.attacks.draws import Draws
from robench.attacks.losses import cross_entropy, targeted_cross_entropy
from robench.attacks.query import Query
from robench.attacks.settings import check_norm
from robench.attacks.targets import Target, check_target, target_classes
from robench.victim import Loss


class FGSM(Attack):
    """One step of length epsilon along the gradient of the cross-entropy.

    Goodfellow et al. 2015 (arXiv 1412.6572), section 4: x + ε·sign(∇ₓ J). With `norm="l2"`, the
    gradient over its L2 norm stands for the sign. `target`: the step goes towards a class chosen
    at the clean image, the one-step target class method of Kurakin et al. 2017 (arXiv 1611.01236,
    section 2). All epsilons share one gradient.
    """

    name = "fgsm"

    def __init__(self, *, norm: Norm = "linf", target: Target | None = None) -> None:
        self.norm = check_norm(norm)
        self.target = None if target is None else check_target(target)

    @property
    def clean_loss(self) -> Loss | None:
        """Cross-entropy, unless there is a target."""
        return cross_entropy if self.target is None else None

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        if self.target is None:
            gradient = victim.clean_gradient(cross_entropy)
        else:
            targets = target_classes(self.target, victim.clean_logits(), labels, random)
            aims = torch.stack([labels, targets], dim=1)
            gradient = victim.clean_gradient(targeted_cross_entropy, aims=aims)
        return images + epsilon * ascent_direction(gradient, self.norm)
