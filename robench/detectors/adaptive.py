"""PGD that fools a network and its detector at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robench.attacks.balls import Ball, Norm, ascent_direction, in_unit_ball
from robench.attacks.checks import check_batch, content_ids
from robench.attacks.draws import Draws
from robench.attacks.losses import broken, cross_entropy
from robench.attacks.settings import check_norm, check_number, check_step_size, check_steps
from robench.detectors.detector import Detector
from robench.freezing import frozen
from robench.logits import checked

_NORMS: tuple[Norm, ...] = ("linf", "l2")


class EvadingPGD:
    """PGD (Madry et al. 2018, arXiv 1706.06083) that also lowers a detector's score.

    By default each image takes its step along the gradient of the cross-entropy while the network
    is right, and down that of the score where it is wrong: the selective form of Bryniarski et
    al., ICLR 2022 (arXiv 2106.15023), section 3. With a `weight`, every step goes up
    cross-entropy − `weight` · e instead (Carlini & Wagner 2017, arXiv 1705.07263). e is
    max(score − m, 0)/s, with the median m and the standard deviation s of the scores of the clean
    images: an image that looks like a typical clean one need not look cleaner. `step_size` is in
    pixel units, None for 2.5·ε/`steps`. Raises ValueError for settings that are none.
    """

    def __init__(
        self, detector: Detector, *, steps: int = 100, step_size: float | None = None,
        norm: Norm = "linf", weight: float | None = None, random_start: bool = True,
    ) -> None:
        self.detector = detector
        self.steps = check_steps(steps)
        self.step_size = check_step_size(step_size)
        self.norm = check_norm(norm, _NORMS)
        self.weight = None if weight is None else check_number(weight, "weight")
        self.random_start = random_start

    def __call__(
        self, images: Tensor, labels: Tensor, *, epsilon: float, seed: int = 0,
        image_ids: Sequence[str] | None = None,
    ) -> Tensor:
        """The best iterate of each image: float32 N×C×H×W in [0,1] and in the ball of `epsilon`.

        The best is the one of the lowest score among those the network gets wrong, else the one
        of the highest cross-entropy. Random starts are keyed by `seed` and `image_ids` (by
        default the hash of each image). Modes, buffers and gradients of network and detector are
        as before. Raises ValueError for images, labels or an `epsilon` that do not fit.
        """
        check_batch(images, labels)
        check_number(epsilon, "epsilon")
        names = content_ids(images) if image_ids is None else list(image_ids)
        truth = labels.to(images.device).long()
        draws = Draws.keyed(names, seed=seed, attack="evading-pgd", device=images.device)
        ball = Ball(images, epsilon, self.norm)
        step_size = self.step_size or 2.5 * epsilon / self.steps
        clean = self.detector.scores(images)
        usual, spread = clean.median(), clean.std(correction=0).clamp_min(1e-6)
        best = _Best(images)
        current = ball.shifted(self._start(draws, images)) if self.random_start else images
        with frozen(self.detector):
            for step in range(self.steps + 1):
                leaf = current.detach().requires_grad_(step < self.steps)
                with torch.enable_grad():
                    logits = checked(self.detector.network(leaf), rows=len(leaf))
                    losses, scores = cross_entropy(logits, truth), self.detector(leaf)
                    excess = ((scores - usual) / spread).clamp_min(0.0)
                    fooled = broken(logits, truth)
                    gain = (torch.where(fooled, -excess, losses) if self.weight is None
                            else losses - self.weight * excess)
                best.see(leaf.detach(), losses.detach(), scores.detach(), fooled)
                if step < self.steps:
                    (gradient,) = torch.autograd.grad(gain.sum(), leaf)
                    direction = ascent_direction(gradient.float(), self.norm)
                    current = ball.project(leaf.detach() + step_size * direction)
        return best.images

    def _start(self, draws: Draws, images: Tensor) -> Tensor:
        if self.norm == "linf":
            return draws.uniform(*images.shape[1:], low=-1.0, high=1.0)
        return in_unit_ball(draws.normal(*images.shape[1:]), draws.uniform(1, 1, 1))


class _Best:
    """The best iterate of each image so far."""

    def __init__(self, images: Tensor) -> None:
        self.images = images.clone()
        self._fooled = torch.zeros(len(images), dtype=torch.bool, device=images.device)
        self._worth = torch.full((len(images),), -float("inf"), dtype=torch.float64,
                                 device=images.device)

    def see(self, images: Tensor, losses: Tensor, scores: Tensor, fooled: Tensor) -> None:
        worth = torch.where(fooled, -scores.double(), losses.double())
        better = (fooled & ~self._fooled) | ((fooled == self._fooled) & (worth > self._worth))
        self.images[better] = images[better]
        self._worth[better] = worth[better]
        self._fooled |= fooled
