"""Runs that were made: their leaderboards, read from the store. No torch."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from robench import outcomes
from robench.audit.finding import Finding
from robench.audit.run import Auditor, audit_run
from robench.errors import UserError, nearest
from robench.reporting.details import Gatherer
from robench.reporting.table import Failure, RunTable
from robench.scoring.comparison import Collector, Comparison, compare
from robench.scoring.rows import CellRecord, Row, leaderboard_rows
from robench.scoring.worst_case import Columns
from robench.store import Store

if TYPE_CHECKING:
    import pandas as pd

_Cell = tuple[CellRecord, Columns, Mapping[str, Any]]

_RECORD: Final = {"id", "name", "matrix", "datasets", "cells", "executions"}


@dataclass(frozen=True)
class Run:
    """A run: its record, and the store that holds its outcomes."""

    record: Mapping[str, Any]
    store: Store

    @property
    def id(self) -> str:
        return str(self.record["id"])

    def leaderboard(self) -> pd.DataFrame:
        """A row per finished cell, and the worst case over attacks; the columns of DESIGN."""
        from robench.scoring.leaderboard import as_frame

        return as_frame(self.rows())

    def rows(self) -> list[Row]:
        """The rows of the leaderboard, for those who need no DataFrame."""
        return leaderboard_rows(Auditor(self.record).through(self.cells()))

    def comparisons(self) -> tuple[Comparison, ...]:
        """Which victims can be told apart, under each attack and then under the worst case."""
        return compare(self.cells())

    def findings(self) -> tuple[Finding, ...]:
        """What the audit finds on the finished cells; their `rows` are keys of cells."""
        return audit_run(self, may_be_empty=True).findings

    def cells(self) -> Iterator[_Cell]:
        """The finished cells one at a time: their record, the columns of their images, metadata."""
        names = [field.name for field in fields(CellRecord)]
        for cell in self.record["cells"]:
            content = self.store.read("outcomes", cell["key"])
            if content is not None:
                columns, metadata = outcomes.columns_from_bytes(content)
                facts = {**{name: cell[name] for name in names}, "epsilon": _epsilon(cell)}
                yield CellRecord(**facts), columns, metadata

    def outcomes(self, key: str) -> pd.DataFrame:
        """The images of one cell, a row each. Raises UserError where they are not there."""
        content = self.store.read("outcomes", key)
        if content is None:
            raise UserError("the outcomes of that cell are not in the store", got=key,
                            where=str(self.store.folder))
        return outcomes.from_bytes(content)[0]

    def failures(self) -> tuple[Failure, ...]:
        """The cells that could not be computed."""
        found = []
        for cell in self.record["cells"]:
            known = self.store.read_failure(cell["key"])
            if known is not None and not self.store.has("outcomes", cell["key"]):
                found.append(Failure(cell["key"], known["label"], known["error"]))
        return tuple(found)

    def table(self, *, details: bool = False, images: Collection[str] = ()) -> RunTable:
        """What reports are made from; layouts other than the leaderboard need the `details`.

        `images` are the columns of outcomes to keep in them: `reporting.layouts.images_of`.
        """
        last = self.record["executions"][-1] if self.record["executions"] else {}
        auditor, gatherer = Auditor(self.record), Gatherer(images) if details else None
        collector = Collector() if gatherer is None else gatherer
        notes = _Notes()
        cells = notes.through(self.cells())
        rows = leaderboard_rows(collector.through(auditor.through(cells)))
        spent = sum(part["wall_seconds"] for part in self.record["executions"])
        return RunTable(
            details=None if gatherer is None else gatherer.details(),
            rows=rows, findings=auditor.done().findings, comparisons=collector.worst_case(),
            name=self.record["name"], run_id=self.id, failures=self.failures(),
            epsilon_text={_epsilon(cell): cell["epsilon_text"] for cell in self.record["cells"]},
            facts={
                "datasets": self.record["datasets"], "matrix": self.record["matrix"],
                "versions": last.get("versions", {}), "device": last.get("device"),
                "git_commit": last.get("git_commit"), "wall_seconds": spent,
                "members": notes.members(), "verdicts": notes.verdicts(),
            },
        )


class _Notes:
    """What the cells of a run say besides their images: what ensembles ran, and how many verdicts
    the passes of low precision would have given otherwise."""

    def __init__(self) -> None:
        self._ways: dict[str, dict[str, None]] = {}
        self._verdicts: dict[CellRecord, Mapping[str, int]] = {}

    def through(self, cells: Iterable[_Cell]) -> Iterator[_Cell]:
        """The same cells."""
        for record, columns, metadata in cells:
            if ran := ", ".join(metadata.get("members", ())):
                self._ways.setdefault(record.attack, {})[ran] = None
            if counts := metadata.get("verdicts"):
                # Those of an attack on a victim at all epsilons are told in each of its cells.
                self._verdicts[replace(record, key="", epsilon=0.0)] = counts
            yield record, columns, metadata

    def members(self) -> Mapping[str, list[str]]:
        """By the attack's name, each way it ran; without those that ended early, which are the
        beginning of another."""
        return {attack: [way for way in ways
                         if not any(other.startswith(f"{way}, ") for other in ways)]
                for attack, ways in self._ways.items()}

    def verdicts(self) -> Mapping[str, int]:
        """How many were `confirmed` in float32, and how many of them `differed`; or nothing."""
        return {name: sum(counts[name] for counts in self._verdicts.values())
                for name in ("confirmed", "differed") if self._verdicts}


def find_run(store: Store, run: str | None) -> Run:
    """A run by its id, the start of it, or the path of its record; None is the latest."""
    ids = store.run_ids()
    if run is None:
        if not ids:
            raise UserError("no run in the store", where=str(store.folder),
                            expected="robench run --matrix … first, or --store FOLDER")
        return _opened(store, ids[0])
    if run.endswith(".json") and Path(run).is_file():
        return Run(_read_record(Path(run)), store)
    matching = [known for known in ids if known == run] or [
        known for known in ids if known.startswith(run)
    ]
    if not matching:
        raise UserError("no such run", got=run, where=str(store.folder),
                        nearest=nearest(run, ids),
                        expected=f"one of {', '.join(ids[:6])}" if ids else "a run's id")
    return _opened(store, matching[0])


def _epsilon(cell: Mapping[str, Any]) -> float:
    """Of a cell in a record, where null stands for a search without a bound."""
    return math.inf if cell["epsilon"] is None else float(cell["epsilon"])


def _opened(store: Store, run_id: str) -> Run:
    record = store.read_run(run_id)
    if not _is_record(record):
        raise UserError("not the record of a run: it was altered", where=run_id)
    return Run(record, store)


def _read_record(path: Path) -> Mapping[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the record of a run: {error}", where=str(path)) from None
    if not _is_record(record):
        raise UserError("not the record of a run", where=str(path))
    return record


def _is_record(read: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(read, dict) and read.keys() >= _RECORD
