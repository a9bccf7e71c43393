"""The networks that attacks are timed on, trained here, and their images."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

import robench
from robench.registry import Registry

SHAPES = {"small-cnn-28": ("small-cnn", 28), "small-cnn-32": ("small-cnn", 32),
          "small-cnn-224": ("small-cnn", 224), "resnet18-32": ("resnet18", 32),
          "resnet18-224": ("resnet18", 224)}


def trained(
    name: str, side: int, recipe: str, device: str, *, kept: Path | None = None
) -> nn.Module:
    """A network trained on digits of `side` pixels (at most 64: larger ones at 64). With `kept`,
    its weights are found in that directory by the next process."""
    shape = {"num_classes": 10, "in_channels": 1}
    size = min(side, 64)
    data = robench.dataset("digits", image_size=size, limit={"train": 800})
    stem = {"stem": "imagenet" if side > 48 else "small"} if name == "resnet18" else {}
    network = robench.model(name, image_size=size, **shape, **stem)
    settings = {"epochs": 6} if recipe == "standard" else {
        "epochs": 6, "epsilon": 0.1, "step_size": 0.04, "steps": 4, "validation_steps": 2}
    weights = None if kept is None else kept / f"{name}-{side}-{recipe}.safetensors"
    if weights is not None and weights.exists():
        load_model(network, weights)
        return network.to(device).eval().requires_grad_(False)
    train = Registry.discover().get("recipe", recipe).load()
    network = train(network, data, device=device, seed=0, **settings)
    if weights is not None:
        weights.parent.mkdir(parents=True, exist_ok=True)
        save_model(network, str(weights))
    return network.eval().requires_grad_(False)


def images_of(side: int, count: int, network: nn.Module, device: str) -> tuple[Tensor, Tensor]:
    """Test images that the network gets right, and their labels."""
    split = robench.dataset("digits", image_size=side).splits["test"]
    pixels = torch.from_numpy(split.images[:]).permute(0, 3, 1, 2).float().div(255).to(device)
    labels = torch.from_numpy(split.labels[:]).to(device)
    with torch.no_grad():
        right = torch.cat([network(part).argmax(1) for part in pixels.split(64)]) == labels
    return pixels[right][:count].contiguous(), labels[right][:count]
