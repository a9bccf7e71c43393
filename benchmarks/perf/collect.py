"""What `attacks.sh` wrote to a directory, as the tables of reports/perf/attacks.md: the ratios of
all processes, with the median of each, then the seconds behind them."""

from __future__ import annotations

import argparse
import re
import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

_HEAD = re.compile(r"(?P<shape>\S+), (?P<recipe>\S+): (?P<floor>one pass there and back .*)")
_IMAGES = re.compile(r"(\d+) images$")


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


def median_of(cells: list[str]) -> str:
    """The median of the numbers the cells begin with, and all of them where they are several."""
    numbers = sorted(float(cell.split()[0]) for cell in cells if cell != "–")
    if not numbers:
        return "–"
    if len(numbers) == 1:
        return next(cell for cell in cells if cell != "–")
    return f"**{statistics.median(numbers):.2f}** ({', '.join(f'{each:.2f}' for each in numbers)})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    files = sorted(parser.parse_args().directory.glob("[0-9]*.md"))
    measured = [each for path in files for each in read(path)]
    by_job: dict[tuple[str, str, str], list[list[str]]] = defaultdict(list)
    for each in measured:
        for job, *cells in each.ratios:
            by_job[each.shape, each.recipe, job].append(cells)
    print("| network | attack | of the fastest that finds as much | the same to the verdict | "
          "times faster than ART | than its members one by one | than torchattacks' |\n"
          "|---|---|---|---|---:|---:|---:|")
    for (shape, recipe, job), rows in sorted(by_job.items()):
        cells = [median_of(list(column)) for column in zip(*rows, strict=True)]
        print(f"| {shape}, {recipe} | {job} | " + " | ".join(cells) + " |")
    for each in measured:
        print(f"\n{each.shape}, {each.recipe}, {each.images} images; {each.floor}\n\n"
              "| attack | library | seconds | to the verdict | over the floor | robust %, or "
              "distance | peak GB |\n|---|---|---:|---:|---:|---|---:|")
        print("\n".join(each.seconds))


if __name__ == "__main__":
    main()
