"""Forwards and backwards per image of AutoAttack and of its members one after another: what is to
be saved by leaving broken images behind, whatever the code. Each member breaks what it breaks in
the ensemble, "leaving behind" what it has broken itself, or going on "to the end" with all images.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from members import Member, climbed
from subjects import SHAPES, images_of, trained

import robench
from robench.attacks.autoattack import AutoAttack
from robench.attacks.result import AttackResult


def spent(results: Sequence[AttackResult]) -> float:
    """Forwards and backwards per image."""
    return sum(float((each.forwards + each.backwards).float().mean()) for each in results)


def row(shape: str, recipe: str, epsilon: float, *, count: int, weights: Path | None) -> str:
    name, side = SHAPES[shape]
    network = trained(name, side, recipe, "cpu", kept=weights)
    images, labels = images_of(side, count, network, "cpu")
    victim = robench.Victim(network).eval()
    victim.arrange(images)
    there = (victim, images, labels, epsilon)
    ensemble = climbed(AutoAttack(), *there)
    members = [Member(number) for number, _ in enumerate(AutoAttack().parts())]
    whole = spent([ensemble])
    behind = spent([climbed(member, *there) for member in members])
    ended = spent([climbed(member, *there, to_the_end=True) for member in members])
    hold = 100 * (~ensemble.success).float().mean().item()
    return (f"| {shape}, {recipe} | {epsilon:g} | {hold:.0f} | {whole:,.0f} | {behind:,.0f} | "
            f"{behind / whole:.2f} | {ended:,.0f} | {ended / whole:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="small-cnn-28")
    parser.add_argument("--at", nargs="+", metavar="RECIPE:EPSILON",
                        default=["standard:0.05", "pgd-at:0.1", "pgd-at:0.05"])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--weights", type=Path, help="directory where trained networks are kept")
    arguments = parser.parse_args()
    print("| network | ε | hold, % | ensemble | leaving behind | times | to the end | times |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for recipe, epsilon in (each.split(":") for each in arguments.at):
        print(row(arguments.shape, recipe, float(epsilon), count=arguments.images,
                  weights=arguments.weights), flush=True)


if __name__ == "__main__":
    main()
