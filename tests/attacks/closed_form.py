"""Linear classifiers, for which the distance of each image to the decision boundary is known."""

from __future__ import annotations

import torch
from scipy.linalg import hadamard
from torch import Tensor

from robench.attacks.losses import margin

from .networks import Linear


def images_off_the_edge(count: int = 40, *, seed: int = 0) -> Tensor:
    """Pixels in [0.4, 0.6], so that no small perturbation meets the box."""
    generator = torch.Generator().manual_seed(seed)
    return 0.4 + 0.2 * torch.rand(count, 1, 4, 4, generator=generator)


def binary(*, one_logit: bool) -> tuple[Linear, Tensor, Tensor]:
    """Two classes, as two logits or as the one logit that is their difference."""
    weights = torch.randn(2, 16, generator=torch.Generator().manual_seed(1))
    network, images, labels = _labelled(weights)
    if one_logit:
        weights, bias = network.weights.detach(), network.bias.detach()
        network = Linear(weights[1:] - weights[:1], bias[1:] - bias[:1])
    return network, images, labels


def five_classes() -> tuple[Linear, Tensor, Tensor]:
    """Five classes at equal distances from each other, and logits so sharp that the gradient
    points to the nearest one."""
    return _labelled(40.0 * torch.from_numpy(hadamard(16)[1:6]).float())


def _labelled(weights: Tensor) -> tuple[Linear, Tensor, Tensor]:
    """A linear classifier, images off the edge of the box, and its own predictions as labels."""
    images = images_off_the_edge()
    bias = -(images.flatten(1) @ weights.T).mean(dim=0)  # every class gets some images
    network = Linear(weights, bias)
    with torch.no_grad():
        return network, images, network(images).argmax(dim=1)


def exact_distances(network: Linear, images: Tensor, labels: Tensor, norm: str) -> Tensor:
    """The distance of each image to the nearest decision boundary, by the dual norm."""
    weights, bias = network.weights.detach().double(), network.bias.detach().double()
    if len(weights) == 1:
        weights = torch.cat([torch.zeros_like(weights), weights])
        bias = torch.cat([torch.zeros_like(bias), bias])
    logits = images.double().flatten(1) @ weights.T + bias
    between_classes = weights[labels][:, None, :] - weights[None, :, :]
    dual = between_classes.abs().sum(-1) if norm == "linf" else between_classes.norm(dim=-1)
    gap = logits.gather(1, labels[:, None]) - logits
    distance = (gap / dual).masked_fill(dual == 0, float("inf")).amin(dim=1)
    assert bool((margin(logits, labels) > 0).all())
    return distance


def between(distances: Tensor, *, shares: tuple[float, ...] = (0.25, 0.5, 0.75)) -> list[float]:
    """Epsilons that keep clear of every exact distance."""
    ordered = distances.sort().values
    places = [int(share * len(ordered)) for share in shares]
    epsilons = [float(ordered[place] + ordered[place + 1]) / 2 for place in places]
    clear = min(float((distances - epsilon).abs().min()) for epsilon in epsilons)
    assert clear > 1e-6
    assert epsilons[-1] < 0.4
    return epsilons
