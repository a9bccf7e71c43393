"""What checks share: how a finding is made, how numbers and p-values read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from robench.audit.finding import Finding, Severity
from robench.audit.table import Entry

#: The error rate of every test.
ALPHA: Final = 0.05
_LISTED: Final = 8


def finding(
    check: str, severity: Severity, entries: Sequence[Entry], message: str, next_step: str
) -> Finding:
    """A finding on `entries`, which must not be empty; several tables are named together."""
    return Finding(
        check=check, severity=severity, paper=entries[0].paper,
        table=", ".join(dict.fromkeys(one.table for one in entries)),
        rows=tuple(dict.fromkeys(one.row for one in entries)),
        message=message, next_step=next_step,
    )


@dataclass(frozen=True)
class Case:
    """One comparison that came out wrong: its entries, what to say of it, and its p-value."""

    entries: tuple[Entry, ...]
    said: str
    p: float | None


def by_severity(
    cases: Sequence[Case], *, tests: int, serious: Severity = "serious",
    unknown: Severity = "warning",
) -> Iterator[tuple[Severity, list[Case]]]:
    """The cases of one table by how sure they are, their p-values corrected for `tests`.

    `tests` is how many comparisons were made, those that came out right among them.
    `serious` is the severity of those that chance does not explain, `unknown` that of those without
    counts; the others are notes.
    """
    corrected = [
        case if case.p is None else replace(case, p=min(1.0, case.p * tests))
        for case in cases
    ]
    for severity, group in (
        (serious, [case for case in corrected if case.p is not None and case.p < ALPHA]),
        (unknown, [case for case in corrected if case.p is None]),
        ("note", [case for case in corrected if case.p is not None and case.p >= ALPHA]),
    ):
        if group:
            yield severity, group


def entries_of(cases: Sequence[Case]) -> list[Entry]:
    """The entries of some cases, each once."""
    return list(dict.fromkeys(one for case in cases for one in case.entries))


def said_of(cases: Sequence[Case]) -> str:
    """What to say of some cases of one severity, with the bound on their p-values."""
    return f"{listed([case.said for case in cases])} ({p_text(cases)})"


def p_text(cases: Sequence[Case]) -> str:
    known = [case.p for case in cases if case.p is not None]
    if not known:
        return "no counts are known, so chance cannot be ruled out"
    least, most = min(known), max(known)
    if most < ALPHA:
        return "p < 0.0001, Bonferroni" if most < 1e-4 else f"p ≤ {most:.2g}, Bonferroni"
    return "within chance, p = 1" if least == 1 else f"within chance, p ≥ {least:.2g}"


def listed(parts: Sequence[str]) -> str:
    """Parts of a message, the first few of many."""
    more = f"; and {len(parts) - _LISTED} more" if len(parts) > _LISTED else ""
    return "; ".join(parts[:_LISTED]) + more
