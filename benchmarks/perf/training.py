"""What adversarial training costs, in forward and backward passes of the network it trains.

The time of an epoch as the recipes run it (crafting, update, looks at the loss; no validation)
over that of one forward and backward pass of the network in train mode, weights' gradients
included, on the same batches; epochs and passes take turns in one process. Per batch, `steps` + 2
such passes are what crafting with `steps` steps and a loss on clean and crafted images should
need: the last column is the epoch over so many of them, and should be at most 1.1. Recipes with
`awp` need as many passes of the loss again.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from floor import wait
from torch import nn
from torch.nn import functional

import robench
from robench.data import Dataset
from robench.registry import Registry
from robench.training.batches import index_batches, load_batches
from robench.training.monitor import EpochReport, SilentMonitor

LIMIT = 1.1
SHAPES = {"small-cnn-32": ("small-cnn", {}), "resnet18-32": ("resnet18", {"stem": "small"})}
SIDE = 32
_PLAIN = {"class_weights": "none"}


@dataclass(frozen=True)
class Job:
    """A recipe with `steps` steps of crafting."""

    recipe: str
    steps: int
    settings: dict[str, Any] = field(default_factory=dict)


def jobs(steps: int) -> dict[str, Job]:
    """The recipes by name; each crafts in `steps` steps but `fgsm-at`."""
    taken = {"steps": steps}
    phases = {"warm_up_epochs": 0, "aggressive_epochs": 0}
    return {
        "pgd-at": Job("pgd-at", steps, taken),
        "pgd-at, awp": Job("pgd-at", steps, {**taken, "awp": {"gamma": 0.01}}),
        "trades": Job("trades", steps, taken),
        "mart": Job("mart", steps, taken),
        "meddef-at": Job("meddef-at", steps, {**taken, **phases}),
        "fgsm-at": Job("fgsm-at", 1),
    }


class Times(SilentMonitor):
    """Remembers how long each epoch took."""

    def __init__(self, between: Callable[[], None]) -> None:
        self.seconds: list[float] = []
        self._between = between

    def epoch(self, report: EpochReport) -> None:
        self.seconds.append(report.seconds)
        self._between()


def dataset(images: int) -> Dataset:
    """Digits of 32 pixels, to train only."""
    whole = robench.dataset("digits", image_size=SIDE, limit={"train": images})
    return Dataset("digits", class_names=whole.class_names, train=whole.train)


def passes(
    network: nn.Module, data: Dataset, batch_size: int, device: torch.device
) -> Callable[[], float]:
    """What takes the seconds of one pass there and back over all batches of the training split."""
    split = data.splits["train"]
    batches = index_batches(np.arange(len(split)), batch_size)
    ready = list(load_batches(split, batches, device))

    def seconds() -> float:
        network.train()
        wait(device)
        started = time.perf_counter()
        for images, labels in ready:
            network.zero_grad(set_to_none=True)
            functional.cross_entropy(network(images), labels).backward()
        wait(device)
        return time.perf_counter() - started

    return seconds


def measured(
    shape: str, job: Job, *, data: Dataset, batch_size: int, epochs: int, device: torch.device
) -> tuple[float, float]:
    """(seconds of an epoch, seconds of one pass there and back over the same batches)."""
    name, settings = SHAPES[shape]
    trained, plain = (
        robench.model(name, num_classes=10, in_channels=1, image_size=SIDE, seed=0, **settings)
        .to(device) for _ in range(2)
    )
    one_pass = passes(plain, data, batch_size, device)
    units = [one_pass()]
    watch = Times(between=lambda: units.append(one_pass()))
    recipe = Registry.discover().get("recipe", job.recipe).load()
    recipe(trained, data, device=device, seed=0, monitor=watch, epochs=epochs + 1,
           batch_size=batch_size, **_PLAIN, **job.settings)
    return statistics.median(watch.seconds[1:]), statistics.median(units[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--recipes", nargs="+", choices=jobs(1), default=["pgd-at"])
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=3, help="measured ones, after one more")
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    device = torch.device(asked.device)
    where = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    data = dataset(asked.images)
    print(f"torch {torch.__version__}, {where}, {torch.get_num_threads()} threads, "
          f"{len(data.splits['train'])} images of {SIDE}×{SIDE} in batches of "
          f"{asked.batch_size}; limit {LIMIT}\n")
    print("| network | recipe | steps | epoch, s | one pass, s | passes | over steps + 2 |\n"
          "|---|---|---:|---:|---:|---:|---:|")
    for shape in asked.shapes:
        for name in asked.recipes:
            job = jobs(asked.steps)[name]
            epoch, unit = measured(shape, job, data=data, batch_size=asked.batch_size,
                                   epochs=asked.epochs, device=device)
            print(f"| {shape} | {name} | {job.steps} | {epoch:.2f} | {unit:.3f} | "
                  f"{epoch / unit:.2f} | {epoch / unit / (job.steps + 2):.2f} |", flush=True)


if __name__ == "__main__":
    main()
