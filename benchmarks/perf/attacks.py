"""Attacks beside those of ART, torchattacks and Foolbox: time over the floor, and what they find.

In one process, on the same trained network, images, steps and threads, the libraries taking
turns. Seconds are those of the library's own call; "to the verdict" adds, for the libraries that
return images alone, the passes that show which of them are broken. A ratio is the time over that
of as many forward and backward passes of the best-arranged network (see `floor.py`) as the attack
has steps, at all its epsilons. Memory is the peak of the process above what stood before, on a GPU
that of its allocator.
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
from floor import floor, timed, wait
from peers import peers
from torch import Tensor, nn

import robench
from robench.attacks.autoattack import AutoAttack
from robench.attacks.base import Attack
from robench.precision import PRECISIONS, Precision
from robench.registry import Registry
from robench.victim import Victim


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
              {"steps": 100, "binary_search_steps": 3, "learning_rate": 0.01,
               "initial_const": 1.0, "abort_early": False}, 300),
    "square": Job("square", (0.05,), {"queries": 1000}, 1000),
    "jsma": Job("jsma", (float("inf"),), {"theta": 0.1, "gamma": 0.14, "target": "next"}, 55),
    "jsma-8": Job("jsma", (float("inf"),), {"theta": 0.1, "gamma": 0.14, "target": "next",
                                           "pairs_per_step": 8}, 55),
    "autoattack": Job("autoattack", (0.05,), {}, 100),
}
VERDICT_INCLUDED = ("robench", "Foolbox", "members one by one")
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


def own(job: Job) -> Attack:
    """Built beforehand, as a run does it once for all networks and images."""
    settings = dict(job.settings)
    if job.attack == "pgd":
        settings["random_start"] = False
    return robench.attack(job.attack, **settings)


def attacked(job: Job, attack: Attack, network: nn.Module, images: Tensor, labels: Tensor,
             precision: Precision) -> list[Tensor]:
    epsilons = None if attack.budget == "minimum" else list(job.epsilons)
    victim: nn.Module = network
    if precision != "float32":
        victim = Victim(network, precision=precision).eval()
        victim.arrange(images)
    return [found.adversarial for found in attack(victim, images, labels, epsilons=epsilons)]


def one_by_one(job: Job, network: nn.Module, images: Tensor, labels: Tensor) -> list[Tensor]:
    """AutoAttack's members, each on all images, and per image the first that broke it."""
    ensemble = robench.attack("autoattack", **job.settings)
    assert isinstance(ensemble, AutoAttack)
    (epsilon,) = job.epsilons
    worst = images.clone()
    for member in ensemble.parts():
        (result,) = member(network, images, labels, epsilons=[epsilon])
        worst[result.success] = result.adversarial[result.success]
    return [worst]


def found(job: Job, network: nn.Module, images: Tensor, labels: Tensor,
          adversarial: Sequence[Tensor]) -> str:
    """Robust accuracies in percent, or the median L2 distance of the broken images."""
    with torch.no_grad():
        broken = [network(moved).argmax(1) != labels for moved in adversarial]
    if job.epsilons == (float("inf"),):
        moved = (adversarial[0] - images).flatten(1)[broken[0]]
        if job.attack == "jsma":
            away = (moved.abs() > 1e-7).sum(dim=1).float()
            told = f"{float(away.mean()):.1f} features"
        else:
            told = f"{float(moved.norm(dim=1).median()):.3f}"
        return f"{told} ({float(broken[0].float().mean()):.0%} broken)"
    return ", ".join(f"{100 * float((~each).float().mean()):.1f}" for each in broken)


def judged(network: nn.Module, images: Tensor) -> float:
    """Seconds of one forward pass over all images."""
    walls = []
    with torch.no_grad():
        for _ in range(3):
            wait(images.device)
            started = time.perf_counter()
            for part in images.split(64):
                network(part)
            wait(images.device)
            walls.append(time.perf_counter() - started)
    return statistics.median(walls)


def measured(
    work: Callable[[], list[Tensor]], device: torch.device
) -> tuple[float, float, list[Tensor]]:
    """(seconds, peak GB above the start, what came out)."""
    wait(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    before = _memory(device)
    seconds, result = timed(work, device)
    return seconds, _memory(device) - before, result


def passes_flops(network: nn.Module, images: Tensor) -> int:
    """Floating-point operations of one forward and backward pass to the pixels of `images`."""
    from torch.utils.flop_counter import FlopCounterMode

    leaf = images.detach().requires_grad_(True)
    with FlopCounterMode(display=False) as counter:
        # The counter cannot follow a gradient to a leaf that a module is given itself.
        torch.autograd.grad(network(leaf * 1.0).sum(), leaf)
    return counter.get_total_flops()


def _memory(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def report(name: str, job: Job, network: nn.Module, images: Tensor, labels: Tensor, *,
           unit: float, repeats: int, precision: Precision, without: Sequence[str]) -> None:
    device = images.device
    attack = own(job)
    works: dict[str, Callable[[], list[Tensor]]] = {
        "robench": lambda: attacked(job, attack, network, images, labels, precision)
    }
    for library, peer in peers(job.attack, **job.settings).items():
        if library in without:
            continue
        works[library] = lambda peer=peer: peer(network, images, labels, job.epsilons)
    if job.attack == "autoattack":
        works["members one by one"] = lambda: one_by_one(job, network, images, labels)
    seconds: dict[str, list[float]] = {library: [] for library in works}
    peak: dict[str, float] = {}
    results: dict[str, list[Tensor]] = {}
    for _ in range(repeats):
        for library, work in works.items():
            wall, memory, results[library] = measured(work, device)
            seconds[library].append(wall)
            peak.setdefault(library, memory)
    asked = unit * job.passes * len(job.epsilons)
    judging = len(job.epsilons) * judged(network, images)
    for library in works:
        wall = statistics.median(seconds[library])
        verdict = wall + (0.0 if library in VERDICT_INCLUDED else judging)
        print(f"| {name} | {library} | {wall:.2f} | {verdict:.2f} | {wall / asked:.2f} | "
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
    parser.add_argument("--precision", choices=PRECISIONS, default="float32",
                        help="of robench's gradients")
    parser.add_argument("--without", nargs="+", default=[], help="libraries to leave out")
    parser.add_argument("--peak", type=float, help="TFLOP/s of the device, to say what share of "
                        "them the floor reaches; an H200 has 989 in bfloat16")
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
            rate = passes_flops(network, images) / unit / 1e12
            share = f", {rate / asked.peak:.1%} of {asked.peak:g}" if asked.peak else ""
            print(f"\n{shape}, {recipe}: one pass there and back {unit * 1e3:.1f} ms ({how}), "
                  f"{rate:.3g} TFLOP/s{share}\n")
            print("| attack | library | seconds | to the verdict | over the floor | robust %, or "
                  "distance | peak GB |\n|---|---|---:|---:|---:|---|---:|")
            for job in asked.jobs:
                report(job, JOBS[job], network, images, labels, unit=unit, repeats=asked.repeats,
                       precision=asked.precision, without=asked.without)


if __name__ == "__main__":
    main()
