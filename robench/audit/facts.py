"""What is known of a table besides its numbers: test sets, classes, settings of the attacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from robench.audit.granularity import Interval, fits


@dataclass(frozen=True)
class TestSet:
    """A test set of `n` images; `classes` gives the images of each, where that is known.

    `inferred`: found from the numbers themselves, not stated.
    """

    n: int
    classes: Mapping[str, int] = field(default_factory=dict)
    where: str = ""
    inferred: bool = False

    @property
    def majority(self) -> float:
        """The share of the largest class; NaN where classes are not known."""
        return max(self.classes.values()) / self.n if self.classes else float("nan")

    def __str__(self) -> str:
        return f"n = {self.n} ({self.where})" if self.where else f"n = {self.n}"


@dataclass(frozen=True)
class Facts:
    """What is known of one paper or run. Data sets are named `dataset` or `dataset/task`.

    `attacks` maps an attack to its stated settings; `surrogates` a data set to the network that
    transferred images were made on; `variants` are words of the notes that tell rows apart.
    """

    cite: str = ""
    test_sets: Mapping[str, tuple[TestSet, ...]] = field(default_factory=dict)
    classes: Mapping[str, int] = field(default_factory=dict)
    attacks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    surrogates: Mapping[str, str] = field(default_factory=dict)
    not_stated: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()

    def sets(self, dataset: str, *, inferred: bool = True) -> tuple[TestSet, ...]:
        """The test sets of a data set that its paper prints, and those inferred unless not."""
        return tuple(
            one for one in self.test_sets.get(dataset, ()) if inferred or not one.inferred
        )

    def set_for(self, dataset: str, intervals: Sequence[Interval]) -> TestSet | None:
        """The first test set that all `intervals` fit; the first of all where none does."""
        known = self.sets(dataset)
        fitting = [one for one in known if fits(one.n, intervals)]
        return fitting[0] if fitting else known[0] if known else None

    def number_of_classes(self, dataset: str, task: str) -> int | None:
        """How many classes there are, None where that is not known."""
        for name in (f"{dataset}/{task}", dataset):
            if name in self.classes:
                return self.classes[name]
        if task == "binary":
            return 2
        known = [one for one in self.test_sets.get(dataset, ()) if one.classes]
        return len(known[0].classes) if known else None

    def setting(self, attack: str, name: str) -> Any:
        """A stated setting of an attack, None where there is none."""
        return self.attacks.get(attack, {}).get(name)


NOTHING = Facts()


def read_facts(path: Path) -> dict[str, Facts]:
    """The facts of each paper in a file like `registry/published/settings.yaml`."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with path.open(encoding="utf-8") as file:
        papers = yaml.load(file, Loader=loader)
    return {name: _facts(said) for name, said in papers.items()}


def _facts(said: Mapping[str, Any]) -> Facts:
    return Facts(
        cite=said["cite"],
        test_sets={
            dataset: tuple(TestSet(**one) for one in sets)
            for dataset, sets in said.get("test_sets", {}).items()
        },
        classes={name: one["count"] for name, one in said.get("classes", {}).items()},
        attacks=said.get("attacks", {}),
        surrogates=said.get("surrogates", {}),
        not_stated=tuple(said.get("not_stated", ())),
        variants=tuple(said.get("variants", ())),
    )
