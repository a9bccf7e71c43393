"""A small network trained on adversarial digits, the second kind that attacks are compared on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .networks import load_digit_images, small_cnn


def hardened_cnn(*, epsilon: float = 0.15, steps: int = 2, epochs: int = 8) -> nn.Module:
    """The small CNN, trained on L∞ PGD images of the first 1,400 digits (Madry et al. 2018)."""
    images, labels = load_digit_images()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = small_cnn()
        optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
        for _ in range(epochs):
            for rows in torch.randperm(1400).split(100):
                inputs = _perturbed(network, images[rows], labels[rows], epsilon, steps)
                optimizer.zero_grad()
                nn.functional.cross_entropy(network(inputs), labels[rows]).backward()
                optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return network.eval()


def _perturbed(
    network: nn.Module, images: Tensor, labels: Tensor, epsilon: float, steps: int
) -> Tensor:
    moved = images + epsilon * (2 * torch.rand_like(images) - 1)
    for _ in range(steps):
        moved.requires_grad_(True)
        loss = nn.functional.cross_entropy(network(moved), labels)
        (gradient,) = torch.autograd.grad(loss, moved)
        moved = moved.detach() + 2 * epsilon / steps * gradient.sign()
        moved = moved.clamp(images - epsilon, images + epsilon).clamp(0, 1)
    return moved
