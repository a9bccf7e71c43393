"""Differences between victims of a run, on the same images, under the worst case over its attacks.

    python benchmarks/contrasts.py RUN --store STORE --contrast "meddef/pgd-at" "resnet18/pgd-at" …

A victim is MODEL/RECIPE, or MODEL/RECIPE/RATE where it is pruned. Each `--contrast` gives the
first victim's robust accuracy less the second's in points, clean and at every epsilon, with the
95 % interval of Bonett & Price 2012, and the exact McNemar p, Holm-adjusted over all that is asked.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from robench.reporting.shown import worst_columns
from robench.results import find_run
from robench.scoring.images import Verdicts, column, image_ids, places, verdicts
from robench.scoring.paired import holm, mcnemar, paired_difference
from robench.scoring.rows import CellRecord
from robench.scoring.worst_case import Columns
from robench.store import Store

Kept = dict[tuple[str, float | None], Verdicts]


def kept(cells: Iterable[tuple[CellRecord, Columns, Mapping[str, Any]]]) -> Kept:
    """By victim and epsilon (None: clean), the images that stay right under every attack."""
    tables: dict[tuple[str, float], list[Columns]] = {}
    for record, columns, _ in cells:
        if record.threat == "white-box" and record.defense == "none":
            rate = str(record.pruning_rate).removesuffix(".0")
            victim = "/".join([record.model, record.recipe] + ([] if rate == "0" else [rate]))
            tables.setdefault((victim, record.epsilon), []).append(columns)
    found: Kept = {}
    for (victim, epsilon), attacked in tables.items():
        worst = worst_columns(attacked)
        found[victim, epsilon] = verdicts(worst)
        found[victim, None] = Verdicts(image_ids(worst), column(worst, "clean_correct"))
    return found


def counted(known: Kept, one: str, other: str, epsilon: float | None) -> tuple[int, int, int]:
    """(images only `one` keeps right, only `other`, all images)."""
    for victim in (one, other):
        if (victim, epsilon) not in known:
            names = ", ".join(sorted({name for name, _ in known}))
            raise SystemExit(f"no victim '{victim}' at that epsilon; there are {names}")
    first, second = known[one, epsilon], known[other, epsilon]
    order = places(first.image_ids, second.image_ids, names=[one, other])
    a, b = first.robust, second.robust[order]
    return int((a & ~b).sum()), int((b & ~a).sum()), len(a)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="the run's id, or the start of it")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--contrast", nargs=2, action="append", required=True,
                        metavar=("ONE", "OTHER"))
    asked = parser.parse_args()
    known = kept(find_run(Store(asked.store), asked.run).cells())
    epsilons = sorted({epsilon for _, epsilon in known if epsilon is not None})
    lines, b, c = [], [], []
    for one, other in asked.contrast:
        for epsilon in (None, *epsilons):
            only, lost, n = counted(known, one, other, epsilon)
            lines.append((one, other, "clean" if epsilon is None else f"ε {epsilon:g}", n))
            b.append(only)
            c.append(lost)
    adjusted = holm(mcnemar(np.array(b), np.array(c)))
    print("| one | other | at | only one | only other | difference [95 %] | p (Holm) |\n"
          "|---|---|---|---:|---:|---:|---:|")
    for (one, other, at, n), only, lost, p in zip(lines, b, c, adjusted.tolist(), strict=True):
        middle, low, high = (100 * value for value in paired_difference(only, lost, n))
        print(f"| {one} | {other} | {at} | {only} | {lost} | "
              f"{middle:+.1f} [{low:+.1f}, {high:+.1f}] | {p:.2g} |")


if __name__ == "__main__":
    main()
