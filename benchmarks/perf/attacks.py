"""Attacks beside those of ART, torchattacks and Foolbox: time over the floor, and what they find.

In one process, on the same trained network, images, steps and threads, the libraries taking
turns. A ratio is the time over that of as many forward and backward passes of the best-arranged
network (see `floor.py`) as the attack has steps, at all its epsilons. Memory is the peak of the
process above what stood before, on a GPU that of its allocator.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from floor import floor, wait
from peers import peers
from torch import Tensor, nn

import robench
from robench.registry import Registry


@dataclass(frozen=True)
class Job:
    """An attack as every library is asked for it; `passes` is its number of forward and backward
    passes at one epsilon."""

    attack: str
    epsilons: tuple[float, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    passes: int = 1


JOBS = {
    "fgsm": Job("fgsm", (0.02, 0.05, 0.1)),
    "pgd-40": Job("pgd", (0.02, 0.05, 0.1), {"steps": 40, "step_size": 0.01}, 40),
    "apgd-100": Job("apgd", (0.05,), {"steps": 100}, 100),
    "deepfool": Job("deepfool", (float("inf"),), {"steps": 50}, 50),
    "cw": Job("cw", (float("inf"),),
              {"steps": 100, "binary_search_steps": 3, "learning_rate": 0.01}, 300),
    "square": Job("square", (0.05,), {"queries": 1000}, 1000),
}
SHAPES = {"small-cnn-28": ("small-cnn", 28), "resnet18-32": ("resnet18", 32),
          "resnet18-224": ("resnet18", 224)}


def trained(name: str, side: int, recipe: str, device: str) -> nn.Module:
    """A network trained on digits of `side` pixels (at most 64: larger ones at 64)."""
    shape = {"num_classes": 10, "in_channels": 1}
    size = min(side, 64)
    data = robench.dataset("digits", image_size=size, limit={"train": 800})
    stem = {"stem": "imagenet" if side > 48 else "small"} if name == "resnet18" else {}
    network = robench.model(name, image_size=size, **shape, **stem)
    settings = {"epochs": 6} if recipe == "standard" else {
        "epochs": 6, "epsilon": 0.1, "step_size": 0.04, "steps": 4, "validation_steps": 2}
    train = Registry.discover().get("recipe", recipe).load()
    return train(network, data, device=device, seed=0, **settings).eval().requires_grad_(False)


def images_of(side: int, count: int, network: nn.Module, device: str) -> tuple[Tensor, Tensor]:
    """Test images that the network gets right, and their labels."""
    split = robench.dataset("digits", image_size=side).splits["test"]
    pixels = torch.from_numpy(split.images[:]).permute(0, 3, 1, 2).float().div(255).to(device)
    labels = torch.from_numpy(split.labels[:]).to(device)
    with torch.no_grad():
        right = torch.cat([network(part).argmax(1) for part in pixels.split(64)]) == labels
    return pixels[right][:count].contiguous(), labels[right][:count]


def own(job: Job, network: nn.Module, images: Tensor, labels: Tensor) -> list[Tensor]:
    settings = dict(job.settings)
    if job.attack == "pgd":
        settings["random_start"] = False
    attack = robench.attack(job.attack, **settings)
    epsilons = None if attack.budget == "minimum" else list(job.epsilons)
    return [found.adversarial for found in attack(network, images, labels, epsilons=epsilons)]


def found(job: Job, network: nn.Module, images: Tensor, labels: Tensor,
          adversarial: Sequence[Tensor]) -> str:
    """Robust accuracies in percent, or the median L2 distance of the broken images."""
    with torch.no_grad():
        broken = [network(moved).argmax(1) != labels for moved in adversarial]
    if job.epsilons == (float("inf"),):
        away = (adversarial[0] - images).flatten(1).norm(dim=1)[broken[0]]
        return f"{float(away.median()):.3f} ({float(broken[0].float().mean()):.0%} broken)"
    return ", ".join(f"{100 * float((~each).float().mean()):.1f}" for each in broken)


def measured(
    work: Callable[[], list[Tensor]], device: torch.device
) -> tuple[float, float, list[Tensor]]:
    """(seconds, peak GB above the start, what came out)."""
    wait(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    before = _memory(device)
    started = time.perf_counter()
    result = work()
    wait(device)
    return time.perf_counter() - started, _memory(device) - before, result


def _memory(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def report(name: str, job: Job, network: nn.Module, images: Tensor, labels: Tensor, *,
           unit: float, repeats: int) -> None:
    device = images.device
    works: dict[str, Callable[[], list[Tensor]]] = {
        "robench": lambda: own(job, network, images, labels)
    }
    for library, peer in peers(job.attack, **job.settings).items():
        works[library] = lambda peer=peer: peer(network, images, labels, job.epsilons)
    seconds: dict[str, list[float]] = {library: [] for library in works}
    peak: dict[str, float] = {}
    results: dict[str, list[Tensor]] = {}
    for _ in range(repeats):
        for library, work in works.items():
            wall, memory, results[library] = measured(work, device)
            seconds[library].append(wall)
            peak.setdefault(library, memory)
    asked = unit * job.passes * len(job.epsilons)
    for library in works:
        wall = statistics.median(seconds[library])
        print(f"| {name} | {library} | {wall:.2f} | {wall / asked:.2f} | "
              f"{found(job, network, images, labels, results[library])} | {peak[library]:.2f} |",
              flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["small-cnn-28"])
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--recipes", nargs="+", default=["standard", "pgd-at"])
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="try torch.compile for the floor")
    asked = parser.parse_args()
    where = torch.cuda.get_device_name() if asked.device == "cuda" else "CPU"
    print(f"torch {torch.__version__}, {where}, {torch.get_num_threads()} threads, "
          f"{asked.images} images\n")
    for shape in asked.shapes:
        name, side = SHAPES[shape]
        for recipe in asked.recipes:
            network = trained(name, side, recipe, asked.device)
            images, labels = images_of(side, asked.images, network, asked.device)
            unit, how = floor(network, images, labels, compiled=asked.compile)
            print(f"\n{shape}, {recipe}: one pass there and back {unit * 1e3:.1f} ms ({how})\n")
            print("| attack | library | seconds | over the floor | robust %, or distance | "
                  "peak GB |\n|---|---|---:|---:|---|---:|")
            for job in asked.jobs:
                report(job, JOBS[job], network, images, labels, unit=unit, repeats=asked.repeats)


if __name__ == "__main__":
    main()
