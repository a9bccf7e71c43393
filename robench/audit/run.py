"""The audit of a run: gates and indicators on its images, and the checks that fit its rates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from robench.audit.catalogue import CHECKS
from robench.audit.cells import AnyRun, Cell, answers, facts_of, victims
from robench.audit.finding import SEVERITIES, Audit, Finding, Unchecked
from robench.audit.gates import GATES, epsilon_gate
from robench.audit.indicators import INDICATORS
from robench.audit.table import Table
from robench.errors import UserError

#: Checks on rates that a run's images do not answer better. Not A3: of many images a random start
#: may make a difference, and in a run it is known what each attack is.
_ON_RATES: Final = ("A11", "B1", "B2", "B3")
_NOT_STORED: Final = (
    Unchecked("F6-loss", "", "no losses along the attack are stored: whether the loss is unstable, "
                             "or still falls at the last step, is not known"),
    Unchecked("F6-unbounded", "", "no attack without ε was run"),
    Unchecked("F7-steps", "", "no attack was run again with twice the steps"),
)


def audit_run(run: AnyRun, *, may_be_empty: bool = False) -> Audit:
    """Every check on a run's outcomes.

    Raises UserError where the store holds none of them, unless the run `may_be_empty`.
    """
    facts = facts_of(run.record)
    ladder = bool(run.record["matrix"].get("ladder", True))
    name = str(run.record["id"])
    findings: list[Finding] = []
    seen = 0
    for cells in victims(run):
        seen += len(cells)
        findings += _of_victim(cells, ladder=ladder)
        images, aside = answers(cells[0], facts)
        if images is not None:
            known = replace(facts, test_sets={cells[0].record.dataset: (images,)})
            entries = tuple(entry for cell in cells for entry in cell.entries(aside))
            table = Table("", entries, frozenset({"n", "attack", "epsilon"}), known)
            findings += [found for check in CHECKS if check.id in _ON_RATES
                         for found in check.run(table)]
    asked = len(run.record["cells"])
    if not seen and not may_be_empty:
        raise UserError("the store holds no outcomes of this run", where=name,
                        expected="--store with the store it was made in, or its leaderboard.csv")
    findings.sort(key=lambda one: -SEVERITIES.index(one.severity))
    named = [replace(one, paper=name) for one in findings]
    return Audit(name, tuple(named), tuple(_unchecked(name, ladder, missing=asked - seen)))


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
