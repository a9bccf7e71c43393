"""The cells of a run as its checks see them: victim by victim, with the rows of every image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from robench.audit.facts import Facts, TestSet
from robench.audit.names import canonical
from robench.audit.table import ASR, CLEAN_ACCURACY, UNDER_ATTACK, Entry
from robench.scoring.rows import CellRecord
from robench.scoring.worst_case import Columns

Finished = tuple[CellRecord, Columns, Mapping[str, Any]]
"""A finished cell: its record, the columns of its images, its metadata."""


class AnyRun(Protocol):
    """A run: its record, and its finished cells with their outcomes."""

    @property
    def record(self) -> Mapping[str, Any]: ...

    def cells(self) -> Iterator[Finished]: ...


@dataclass(frozen=True)
class Cell:
    """A finished cell: what it is, its attack's canonical name, and its images as arrays."""

    record: CellRecord
    attack: str
    columns: Mapping[str, Any]
    metadata: Mapping[str, Any]

    @property
    def flags(self) -> frozenset[str]:
        return frozenset(self.metadata["flags"])

    @property
    def key(self) -> str:
        return self.record.key

    @property
    def victim(self) -> tuple[Any, ...]:
        of = self.record
        return of.dataset, of.model, of.recipe, of.defense, of.pruning_rate, of.seed

    @property
    def named(self) -> str:
        of = self.record
        pruned = f", pruned {100 * of.pruning_rate:g} %" if of.pruning_rate else ""
        defended = "" if of.defense == "none" else f", {of.defense}"
        return f"{of.model} {of.recipe}{pruned}{defended} ({of.dataset})"

    @property
    def correct(self) -> Any:
        return self.columns["clean_correct"]

    @property
    def broken(self) -> Any:
        return self.columns["success"]

    def entries(self, aside: str) -> Iterator[Entry]:
        """Its rates as entries of a table, with their counts."""
        of = self.record
        n, right, broken = len(self.correct), int(self.correct.sum()), int(self.broken.sum())
        base = Entry(
            row=of.key, paper="", table="", metric="", value=0.0, half=1e-9, shown="",
            dataset=of.dataset, model=of.model, defense=of.defense, pruning=of.pruning_rate,
            other=(of.recipe, f"seed {of.seed}"), aside=aside,
        )
        attacked = replace(base, attack=self.attack, called=of.attack, epsilon=of.epsilon,
                           threat=of.threat, norm=of.norm, variant=of.surrogate or "")
        for template, metric, count, of_images in (
            (base, CLEAN_ACCURACY, right, n), (attacked, UNDER_ATTACK, right - broken, n),
            (attacked, ASR, broken, right),
        ):
            if of_images:
                rate = count / of_images
                yield replace(template, metric=metric, value=rate, n=of_images, count=count,
                              shown=f"{100 * rate:.1f} %")


def victims(record_of_run: Mapping[str, Any], cells: Iterable[Finished]) -> Iterator[list[Cell]]:
    """The cells of each victim, one victim at a time."""
    names = card_names(record_of_run)
    group: list[Cell] = []
    for record, columns, metadata in cells:
        cell = Cell(
            record, canonical(names.get(record.attack, record.attack)),
            {name: np.asarray(column) for name, column in columns.items()},
            metadata,
        )
        if group and cell.victim != group[0].victim:
            yield group
            group = []
        group.append(cell)
    if group:
        yield group


def card_names(record: Mapping[str, Any]) -> dict[str, str]:
    """The label of each attack of a run's matrix with the name of its card."""
    return {item["label"]: next(iter(item)) for item in record["matrix"].get("attacks", ())}


def facts_of(record: Mapping[str, Any]) -> Facts:
    """What the record of a run says of its data sets and attacks."""
    sets = {}
    for label, known in record.get("datasets", {}).items():
        counted = known.get("class_counts", {}).get("test", ())
        if counted:
            names = known.get("classes", range(len(counted)))
            sets[label] = (TestSet(
                sum(counted),
                {f"class {name}": count for name, count in zip(names, counted, strict=True)}),)
    attacks: dict[str, Mapping[str, Any]] = {}
    doubled = set()
    for item in record["matrix"].get("attacks", ()):
        card = next(iter(item))
        name = canonical(card)
        doubled |= {name} & attacks.keys()
        settings = item[card]
        attacks[name] = {"steps": settings.get("steps"), "step": settings.get("step_size"),
                         "epsilon": "per-row"}
    return Facts(
        test_sets=sets, classes={label: len(one[0].classes) for label, one in sets.items()},
        attacks={name: said for name, said in attacks.items() if name not in doubled},
    )


def answers(cell: Cell, facts: Facts) -> tuple[TestSet | None, str]:
    """The images of a cell by class, and what its victim mostly answers, in words."""
    labels, predictions = cell.columns["label"], cell.columns["clean_prediction"]
    n = len(labels)
    if not n:
        return None, ""
    known = facts.sets(cell.record.dataset)
    names = list(known[0].classes) if known else []

    def name(place: int) -> str:
        return names[place] if place < len(names) else f"class {place}"

    counted = {name(place): int(count)
               for place, count in enumerate(np.bincount(labels)) if count}
    most = np.bincount(predictions)
    share = 100 * int(most.max()) / n
    said = f"answers {name(int(most.argmax()))} for {share:.1f} % of the images"
    return TestSet(n, counted), said
