"""Signed steps along a gradient with momentum."""

import torch

import robench


@robench.card(
    summary="signed steps along a gradient with momentum",
    paper={"key": "dong2018", "cite": "Dong et al., CVPR 2018, arXiv 1710.06081"},
)
class MomentumSign(robench.Attack):
    norm, budget, access = "linf", "fixed", "gradient"

    def __init__(self, *, steps=5, decay=1.0):
        if steps < 1:
            raise ValueError(f"steps: got {steps}, expected a whole number ≥ 1")
        self.steps, self.decay = steps, decay

    def perturb(self, victim, images, labels, *, epsilon, random):
        current, momentum = images, torch.zeros_like(images)
        for _ in range(self.steps):
            gradient = victim.gradient(current)
            size = gradient.flatten(1).abs().amax(dim=1).clamp_min(1e-12)
            momentum = self.decay * momentum + gradient / size[:, None, None, None]
            current = (current + epsilon / self.steps * momentum.sign()).clamp(0, 1)
        return current
