"""What the runner and the attacks cost beside the networks they run.

Three nested clocks over the attacks of a matrix: the walk over them (victims built, batches read,
outcomes kept), the attacks themselves, and the networks' forward and backward passes.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch

import robench
from robench import victim
from robench.attacks.base import Attack
from robench.runner.walk import Walk

MATRICES: dict[str, dict[str, Any]] = {
    "small-cnn, 8 pixels": {
        "models": ["small-cnn"], "datasets": [{"digits": {"limit": {"train": 400}}}],
    },
    "resnet18, 8 pixels": {
        "models": ["resnet18"], "datasets": [{"digits": {"limit": {"train": 400}}}],
    },
    "resnet18, 64 pixels": {
        "models": ["resnet18"],
        "datasets": [{"digits": {"image_size": 64, "limit": {"train": 200, "test": 64}}}],
    },
}
SHARED: dict[str, Any] = {
    "name": "overhead", "recipes": [{"standard": {"epochs": 1}}],
    "attacks": ["noise", "fgsm", {"pgd": {"steps": 10}}], "epsilons": [0.02, 0.05],
}


class Clock:
    """Adds up the seconds of the outermost of some calls."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._depth = 0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **settings: Any) -> Any:
            self._depth += 1
            started = time.perf_counter()
            try:
                return function(*args, **settings)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.seconds += time.perf_counter() - started

        return call


def main() -> None:
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, "
          f"{os.cpu_count()} cores\n")
    print("| victim | walk, s | networks, s | attacks' own / networks | runner's own / networks |")
    print("|---|---:|---:|---:|---:|")
    matrices: dict[str, Any] = {"quickstart": "quickstart"} | {
        name: {**SHARED, **own} for name, own in MATRICES.items()
    }
    for name, matrix in matrices.items():
        whole, crafting, inside, clean = Clock(), Clock(), Clock(), Clock()
        attacks, logits, gradient = Walk._attacks, victim.Victim._logits, victim._input_gradient
        climb, forward = Attack.climb, victim.Victim.logits
        Attack.climb = crafting.timed(climb)  # type: ignore[method-assign]
        victim.Victim.logits = clean.timed(forward)  # type: ignore[method-assign]
        Walk._attacks = whole.timed(attacks)  # type: ignore[method-assign]
        victim.Victim._logits = inside.timed(logits)  # type: ignore[method-assign]
        victim._input_gradient = inside.timed(gradient)
        try:
            with tempfile.TemporaryDirectory() as store:
                robench.run(matrix, store=store)
        finally:
            Walk._attacks = attacks  # type: ignore[method-assign]
            victim.Victim._logits = logits  # type: ignore[method-assign]
            victim._input_gradient = gradient
            Attack.climb, victim.Victim.logits = climb, forward  # type: ignore[method-assign]
        # Victim.logits is called for the clean pass and by no native attack.
        arithmetic = crafting.seconds + clean.seconds - inside.seconds
        runner = whole.seconds - crafting.seconds - clean.seconds
        print(f"| {name} | {whole.seconds:.2f} | {inside.seconds:.2f} | "
              f"{arithmetic / inside.seconds:.1%} | {runner / inside.seconds:.1%} |", flush=True)


if __name__ == "__main__":
    main()
