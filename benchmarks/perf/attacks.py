"""Attacks beside those of ART, torchattacks and Foolbox: time over the floor, and what they find.

In one process, on the same trained network, images, steps and threads, the libraries taking
turns. What a library wraps a network in is made beforehand, once. Seconds are those of the
library's own call; "to the verdict" adds, for the libraries that return images alone, the passes
that show which of them are broken. A ratio is the time over that of as many forward and backward
passes of the best-arranged network (see `floor.py`) as the attack has steps, at all its epsilons.
"Broken beside robench's" are the images that a library breaks and robench does not, and the other
way round, at all epsilons together; behind it, of those that both break, how far they are, or how
many features are changed, by the library and by robench. Memory is the peak above what was held
before. A second table gives the ratios: of the fastest library that finds as much, by its own call
and to the verdict, and how many times as fast as ART and as an ensemble's members, each on all
images.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from findings import Findings, found
from floor import floor, timed, wait
from members import one_by_one
from memory import forget_peak, held, peak
from peers import Attacking, Peer, peers, torchattacks_one_by_one
from subjects import SHAPES, images_of, trained
from torch import Tensor, nn

import robench
from robench.attacks.base import Attack
from robench.precision import PRECISIONS, Precision


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
    "jsma-224": Job("jsma", (float("inf"),), {"theta": 1.0, "gamma": 0.02, "target": "next"}, 502),
    "autoattack": Job("autoattack", (0.05,), {}, 100),
    "autoattack-0.1": Job("autoattack", (0.1,), {}, 100),  # what `pgd-at` is trained with here
}
OWN, ONE_BY_ONE = "robench", "members one by one"
TO_THE_END = "the same to the end"
THEIRS_ONE_BY_ONE = "torchattacks' one by one"
IN_TURNS = (ONE_BY_ONE, TO_THE_END, THEIRS_ONE_BY_ONE)
VERDICT_INCLUDED = (OWN, "Foolbox", *IN_TURNS)


def own(job: Job) -> Attack:
    """Built beforehand, as a run does it once for all networks and images."""
    settings = dict(job.settings)
    if job.attack == "pgd":
        settings["random_start"] = False
    return robench.attack(job.attack, **settings)


def own_attacking(job: Job, precision: Precision) -> Peer:
    """As a run does it: attack and victim are made once for all images."""
    attack = own(job)
    limits = attack.budget != "minimum"

    def prepared(network: nn.Module, like: Tensor) -> Attacking:
        victim = robench.Victim(network, precision=precision).eval()
        victim.arrange(like)
        return lambda images, labels, epsilons: [
            found.adversarial
            for found in attack(victim, images, labels, epsilons=epsilons if limits else None)
        ]

    return prepared


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
    before = held(device)
    forget_peak(device)
    seconds, result = timed(work, device)
    return seconds, peak(device) - before, result


def passes_flops(network: nn.Module, images: Tensor) -> int:
    """Floating-point operations of one forward and backward pass to the pixels of `images`."""
    from torch.utils.flop_counter import FlopCounterMode

    leaf = images.detach().requires_grad_(True)
    with FlopCounterMode(display=False) as counter:
        # The counter cannot follow a gradient to a leaf that a module is given itself.
        torch.autograd.grad(network(leaf * 1.0).sum(), leaf)
    return counter.get_total_flops()


@dataclass(frozen=True)
class Timed:
    """A library's seconds: of its own call, and until it is known which images are broken."""

    call: float
    verdict: float
    findings: Findings


def timings(
    name: str, job: Job, network: nn.Module, images: Tensor, labels: Tensor, *,
    unit: float, repeats: int, precision: Precision, without: Sequence[str],
) -> dict[str, Timed]:
    """By library; prints a row for each."""
    device = images.device
    all_of_them = {OWN: own_attacking(job, precision), **peers(job.attack, **job.settings)}
    if job.attack == "autoattack":
        all_of_them[ONE_BY_ONE] = one_by_one(job.settings)
        all_of_them[TO_THE_END] = one_by_one(job.settings, to_the_end=True)
        if "torchattacks" in all_of_them:
            all_of_them[THEIRS_ONE_BY_ONE] = torchattacks_one_by_one
    works = {library: prepare(network, images) for library, prepare in all_of_them.items()
             if library not in without}
    seconds: dict[str, list[float]] = {library: [] for library in works}
    peaks: dict[str, float] = {}
    results: dict[str, list[Tensor]] = {}
    for _ in range(repeats):
        for library, work in works.items():
            wall, memory, results[library] = measured(
                lambda work=work: work(images, labels, job.epsilons), device
            )
            seconds[library].append(wall)
            peaks.setdefault(library, memory)
    asked = unit * job.passes * len(job.epsilons)
    judging = len(job.epsilons) * judged(network, images)
    told: dict[str, Timed] = {}
    for library in works:
        wall = statistics.median(seconds[library])
        timed_ = told[library] = Timed(
            wall, wall + (0.0 if library in VERDICT_INCLUDED else judging),
            found(network, images, labels, results[library], features=job.attack == "jsma",
                  nearest=job.epsilons == (float("inf"),)),
        )
        print(f"| {name} | {library} | {wall:.2f} | {timed_.verdict:.2f} | {wall / asked:.2f} | "
              f"{timed_.findings} | {timed_.findings.beside(told[OWN].findings)} | "
              f"{peaks[library]:.2f} |", flush=True)
    return told


def ratios(name: str, told: dict[str, Timed]) -> str:
    """A row of the second table."""
    mine = told[OWN]
    equals = {library: each for library, each in told.items()
              if library not in (OWN, *IN_TURNS)
              and each.findings.as_good_as(mine.findings)}

    def of_the_fastest(seconds: Callable[[Timed], float]) -> str:
        if not equals:
            return "–"
        best = min(equals, key=lambda library: seconds(equals[library]))
        return f"{seconds(mine) / seconds(equals[best]):.2f} ({best})"

    def times(library: str) -> str:
        return f"{told[library].call / mine.call:.1f}" if library in told else "–"

    return (f"| {name} | {of_the_fastest(lambda each: each.call)} | "
            f"{of_the_fastest(lambda each: each.verdict)} | {times('ART')} | "
            f"{' | '.join(times(each) for each in IN_TURNS)} |")


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
    parser.add_argument("--weights", type=Path,
                        help="directory where the trained networks are kept for other processes")
    parser.add_argument("--compile", action="store_true", help="try torch.compile for the floor")
    asked = parser.parse_args()
    where = torch.cuda.get_device_name() if asked.device == "cuda" else "CPU"
    print(f"torch {torch.__version__}, {where}, {torch.get_num_threads()} threads, "
          f"{asked.images} images\n")
    for shape in asked.shapes:
        name, side = SHAPES[shape]
        for recipe in asked.recipes:
            network = trained(name, side, recipe, asked.device, kept=asked.weights)
            images, labels = images_of(side, asked.images, network, asked.device)
            unit, how = floor(network, images, labels, compiled=asked.compile)
            rate = passes_flops(network, images) / unit / 1e12
            share = f", {rate / asked.peak:.1%} of {asked.peak:g}" if asked.peak else ""
            print(f"\n{shape}, {recipe}: one pass there and back {unit * 1e3:.1f} ms ({how}), "
                  f"{rate:.3g} TFLOP/s{share}\n")
            print("| attack | library | seconds | to the verdict | over the floor | robust %, or "
                  "distance | broken beside robench's | peak GB |\n"
                  "|---|---|---:|---:|---:|---|---|---:|")
            rows = [
                ratios(job, timings(
                    job, JOBS[job], network, images, labels, unit=unit, repeats=asked.repeats,
                    precision=asked.precision, without=asked.without))
                for job in asked.jobs
            ]
            print("\n| attack | of the fastest that finds as much | the same to the verdict | "
                  "times faster than ART | than its members one by one | each to the end | "
                  "than torchattacks' |\n|---|---|---|---:|---:|---:|---:|")
            print("\n".join(rows), flush=True)


if __name__ == "__main__":
    main()
