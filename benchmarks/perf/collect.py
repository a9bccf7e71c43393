"""What `attacks.sh` wrote to a directory, as the tables of reports/perf/attacks.md: what is wanted
and what is seen, the ratios of all processes, and the seconds behind them."""

from __future__ import annotations

import argparse
import re
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_HEAD = re.compile(r"(?P<shape>\S+), (?P<recipe>\S+): (?P<floor>one pass there and back .*)")
_IMAGES = re.compile(r"(\d+) images$")
COLUMNS = ("of the fastest that finds as much", "the same to the verdict", "times faster than ART",
           "than its members one by one", "than these to the end",
           "than torchattacks' members one by one")
OWN_CALL, VERDICT, ART, MEMBERS, TO_THE_END, THEIRS = range(6)


@dataclass(frozen=True)
class Wanted:
    """A ratio that should be at most, or at least, so much; on the networks of some recipes."""

    what: str
    job: str
    column: int
    at_most: float | None = None
    at_least: float | None = None
    recipes: tuple[str, ...] = ("standard", "pgd-at")

    def __str__(self) -> str:
        return f"≤ {self.at_most:g}" if self.at_most is not None else f"≥ {self.at_least:g}"

    def met(self, ratio: float) -> bool:
        if self.at_most is not None:
            return ratio <= self.at_most
        return self.at_least is not None and ratio >= self.at_least


WANTED = [
    Wanted("fgsm at 3 ε, until it is known which images are broken", "fgsm", VERDICT, at_most=0.5),
    Wanted("fgsm at 3 ε, of a peer's own call, which does not say it", "fgsm", OWN_CALL,
           at_most=0.5),
    Wanted("pgd-40 at 3 ε, where it breaks", "pgd-40", OWN_CALL, at_most=0.5,
           recipes=("standard",)),
    Wanted("pgd-40 at 3 ε, where the network mostly holds", "pgd-40", OWN_CALL, at_most=0.8,
           recipes=("pgd-at",)),
    Wanted("deepfool, of the best peer", "deepfool", OWN_CALL, at_most=1),
    Wanted("deepfool, times faster than ART", "deepfool", ART, at_least=15),
    Wanted("cw, of the best peer", "cw", OWN_CALL, at_most=1),
    Wanted("cw, times faster than ART", "cw", ART, at_least=15),
    Wanted("jsma with exact pairs, times faster than ART", "jsma", ART, at_least=3),
    Wanted("jsma with 8 pairs a step, times faster than ART", "jsma-8", ART, at_least=20),
    *(Wanted(f"autoattack at ε {epsilon}, times faster than its {whose}", job, column,
             at_least=1.5)
      for job, epsilon in (("autoattack", 0.05), ("autoattack-0.1", 0.1))
      for whose, column in (
          ("own members, each on all images to its end", TO_THE_END),
          ("members in torchattacks, each on all images", THEIRS),
          ("own members, each leaving behind what it has broken", MEMBERS))),
]


@dataclass
class Measured:
    """One process on one network: the floor, and the rows of both tables as they were printed."""

    shape: str
    recipe: str
    floor: str
    images: int
    seconds: list[str] = field(default_factory=list)
    ratios: list[list[str]] = field(default_factory=list)


def read(path: Path) -> list[Measured]:
    found: list[Measured] = []
    images, in_ratios = 0, False
    for line in path.read_text().splitlines():
        if match := _IMAGES.search(line):
            images = int(match[1])
        if match := _HEAD.match(line):
            found.append(Measured(match["shape"], match["recipe"], match["floor"], images))
        elif line.startswith("| attack |"):
            in_ratios = "of the fastest" in line
        elif line.startswith("| ") and found:
            if in_ratios:
                found[-1].ratios.append([cell.strip() for cell in line.strip("|").split("|")])
            else:
                found[-1].seconds.append(line)
    return found


@dataclass(frozen=True)
class Ratio:
    """One ratio of a job on a network, in each process; and the libraries it is of, if it is."""

    values: tuple[float, ...]
    of: str

    @classmethod
    def read(cls, cells: Sequence[str]) -> Ratio | None:
        split = [cell.split(maxsplit=1) for cell in cells if cell != "–"]
        names = sorted({rest[0] for _, *rest in split if rest})
        return cls(tuple(sorted(float(value) for value, *_ in split)), " ".join(names)) \
            if split else None

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def __str__(self) -> str:
        several = f" [{self.values[0]:g} – {self.values[-1]:g}]" if len(self.values) > 1 else ""
        return f"{self.median:.3g}{several}" + (f" {self.of}" if self.of else "")


Ratios = dict[tuple[str, str, str], list[Ratio | None]]
"""By shape, recipe and job, in the order of COLUMNS."""


def joined(measured: Sequence[Measured]) -> Ratios:
    rows: dict[tuple[str, str, str], list[list[str]]] = defaultdict(list)
    for each in measured:
        for job, *cells in each.ratios:
            rows[each.shape, each.recipe, job].append(cells)
    return {key: [Ratio.read(column) for column in zip(*cells, strict=True)]
            for key, cells in sorted(rows.items())}


def targets(ratios: Ratios) -> Iterator[str]:
    yield "| | wanted | seen | met |\n|---|---|---|---|"
    for wanted in WANTED:
        seen = {f"{shape}, {recipe}": columns[wanted.column]
                for (shape, recipe, job), columns in ratios.items()
                if job == wanted.job and recipe in wanted.recipes}
        known = {network: ratio for network, ratio in seen.items() if ratio is not None}
        if known:
            met = [wanted.met(ratio.median) for ratio in known.values()]
            told = "; ".join(f"{ratio} ({network})" for network, ratio in known.items())
            verdict = "yes" if all(met) else f"in {sum(met)} of {len(met)}" if any(met) else "no"
            yield f"| {wanted.what} | {wanted} | {told} | {verdict} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    files = sorted(parser.parse_args().directory.glob("[0-9]*.md"))
    measured = [each for path in files for each in read(path)]
    ratios = joined(measured)
    print("\n".join(targets(ratios)))
    print(f"\n| network | attack | {' | '.join(COLUMNS)} |\n|---|---|{'---|' * len(COLUMNS)}")
    for (shape, recipe, job), columns in ratios.items():
        cells = " | ".join("–" if ratio is None else str(ratio) for ratio in columns)
        print(f"| {shape}, {recipe} | {job} | {cells} |")
    for each in measured:
        print(f"\n{each.shape}, {each.recipe}, {each.images} images; {each.floor}:\n\n"
              "| attack | library | seconds | to the verdict | over the floor | robust %, or "
              "distance | broken beside robench's | peak GB |\n"
              "|---|---|---:|---:|---:|---|---|---:|")
        print("\n".join(each.seconds))


if __name__ == "__main__":
    main()
