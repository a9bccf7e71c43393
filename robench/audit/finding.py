"""What an audit says: findings, and what could not be checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Severity = Literal["note", "warning", "serious"]
SEVERITIES: Final[tuple[Severity, ...]] = ("note", "warning", "serious")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or cannot be believed, in a table of results.

    `check` is an id of `robench.audit.CHECKS`. `rows` are the `row_id`s of the table (or `row N`,
    the line in its file), or the keys of a run's cells. `message` gives the numbers and the likely
    reading, `next_step` what to try.
    """

    check: str
    severity: Severity
    paper: str
    table: str
    rows: tuple[str, ...]
    message: str
    next_step: str

    def as_dict(self) -> dict[str, Any]:
        """The six fields of the JSON output; the next step ends the message."""
        return {
            "check": self.check, "severity": self.severity, "paper": self.paper,
            "table": self.table, "rows": list(self.rows),
            "message": f"{self.message} Next: {self.next_step}",
        }


@dataclass(frozen=True)
class Unchecked:
    """A check that was ruled out: `paper` or run, and what was missing."""

    check: str
    paper: str
    why: str


@dataclass(frozen=True)
class Audit:
    """The findings on something (`name`), and the checks that it ruled out.

    `sources` cites the papers whose tables they are, by the names that findings use.
    """

    name: str
    findings: tuple[Finding, ...]
    unchecked: tuple[Unchecked, ...]
    sources: tuple[tuple[str, str], ...] = ()

    def worst(self) -> Severity | None:
        """The highest severity found, None where nothing was."""
        return max((f.severity for f in self.findings), key=SEVERITIES.index, default=None)


def flags_by_row(
    findings: Iterable[Finding], words: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """The flags that findings put on rows: row or cell key to the words of their checks.

    `words` gives the flag of a check; a check without one, and a mere note, puts no flag.
    """
    flags: dict[str, set[str]] = {}
    for finding in findings:
        if finding.check in words and finding.severity != "note":
            for row in finding.rows:
                flags.setdefault(row, set()).add(words[finding.check])
    return {row: tuple(sorted(found)) for row, found in flags.items()}
