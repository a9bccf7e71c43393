"""The audit of a run: gates and indicators on its images, and the checks that fit its rates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from robench.audit.catalogue import CHECKS, FLAG_WORDS
from robench.audit.cells import AnyRun, Cell, Finished, answers, facts_of, victims
from robench.audit.finding import SEVERITIES, Audit, Finding, Unchecked, flags_by_row
from robench.audit.gates import GATES, epsilon_gate
from robench.audit.indicators import INDICATORS
from robench.audit.table import Table
from robench.errors import UserError

#: Checks on rates that a run's images do not answer better. Not A3: of many images a random start
#: may make a difference, and in a run it is known what each attack is.
_ON_RATES: Final = ("A11", "B1", "B2", "B3")
_NOT_STORED: Final = (
    Unchecked("F6-loss", "", "no losses along the attack are stored: whether the loss is unstable, "
                             "still falls at the last step, or a success was lost is not known "
                             "without --probe"),
    Unchecked("F6-unbounded", "", "no attack without ε was run"),
    Unchecked("F7-steps", "", "no attack was run again with twice the steps"),
)


class Auditor:
    """Audits the cells that pass through it, so that one reading of the outcomes serves all.

    It holds the cells of one victim at a time, and gives each on with the flags of its findings.
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        self._record = record
        self._facts = facts_of(record)
        self._ladder = bool(record["matrix"].get("ladder", True))
        self._findings: list[Finding] = []
        self._seen = 0

    def through(self, finished: Iterable[Finished]) -> Iterator[Finished]:
        """The same cells in the same order, each after its victim was audited."""
        for cells in victims(self._record, finished):
            self._seen += len(cells)
            found = self._audited(cells)
            self._findings += found
            put = flags_by_row(found, FLAG_WORDS)
            for cell in cells:
                flags = [*cell.metadata["flags"], *put.get(cell.key, ())]
                yield cell.record, cell.columns, {**cell.metadata, "flags": flags}

    def done(self) -> Audit:
        """The audit of what has passed, the most serious findings first."""
        name = str(self._record["id"])
        ordered = sorted(self._findings, key=lambda one: -SEVERITIES.index(one.severity))
        missing = len(self._record["cells"]) - self._seen
        return Audit(name, tuple(replace(one, paper=name) for one in ordered),
                     tuple(_unchecked(name, self._ladder, missing=missing)))

    def _audited(self, cells: list[Cell]) -> list[Finding]:
        findings = list(_of_victim(cells, ladder=self._ladder))
        images, aside = answers(cells[0], self._facts)
        if images is not None:
            known = replace(self._facts, test_sets={cells[0].record.dataset: (images,)})
            entries = tuple(entry for cell in cells for entry in cell.entries(aside))
            table = Table("", entries, frozenset({"n", "attack", "epsilon"}), known)
            findings += [found for check in CHECKS if check.id in _ON_RATES
                         for found in check.run(table)]
        return findings


def audit_run(run: AnyRun, *, may_be_empty: bool = False) -> Audit:
    """Every check on a run's outcomes.

    Raises UserError where the store holds none of them, unless the run `may_be_empty`.
    """
    auditor = Auditor(run.record)
    seen = sum(1 for _ in auditor.through(run.cells()))
    if not seen and not may_be_empty:
        raise UserError("the store holds no outcomes of this run", where=str(run.record["id"]),
                        expected="--store with the store it was made in, or its leaderboard.csv")
    return auditor.done()


def _of_victim(cells: list[Cell], *, ladder: bool) -> Iterator[Finding]:
    for check in (*GATES, *INDICATORS, *(() if ladder else (epsilon_gate,))):
        yield from check(cells)


def _unchecked(name: str, ladder: bool, *, missing: int) -> Iterator[Unchecked]:
    if ladder:
        yield Unchecked("A4", name, "the ladder makes every ε at least as strong as the one below; "
                                    "ladder: false runs each alone")
    if missing:
        yield Unchecked("all", name, f"{missing} cells have no outcomes")
    for one in _NOT_STORED:
        yield replace(one, paper=name)
