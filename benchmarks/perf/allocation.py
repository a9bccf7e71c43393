"""PGD on images of 224×224 pixels before and after the process keeps what it frees, as `robench
run` has it keep it: seconds, their ratio, and the most memory that the process held in GB. One
network a process, as what is kept once is kept; whole tiles of 32 images, as smaller pieces would
be found on the way.
"""

from __future__ import annotations

import argparse
import resource
import statistics
from typing import Any

import torch
from floor import timed

import robench
from robench.cli.allocation import keep_freed_memory

NETWORKS: dict[str, dict[str, Any]] = {
    "small-cnn": {}, "resnet18": {"stem": "imagenet"}, "meddef": {},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    torch.manual_seed(0)
    network = robench.model(asked.network, image_size=224, in_channels=3, num_classes=10,
                            **NETWORKS[asked.network]).eval().requires_grad_(False)
    images = torch.rand(32, 3, 224, 224)
    victim = robench.Victim(network).eval()
    victim.arrange(images)
    labels = victim.logits(images).argmax(dim=1)
    attack = robench.attack("pgd", steps=5)

    def seconds() -> float:
        walls = [timed(lambda: attack(victim, images, labels, epsilons=[1e-4]), images.device)[0]
                 for _ in range(asked.repeats)]
        return statistics.median(walls)

    given_back = seconds()
    if not keep_freed_memory():
        raise SystemExit("this C library is left alone")
    kept = seconds()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"| {asked.network} | {given_back:.2f} | {kept:.2f} | {kept / given_back:.2f} | "
          f"{most:.1f} |")


if __name__ == "__main__":
    main()
