"""Findings of the audit as text: the section of a report, and audits of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final

from robench.audit.catalogue import TITLES
from robench.audit.finding import SEVERITIES, Audit, Finding

if TYPE_CHECKING:
    from rich.console import RenderableType

_ROWS: Final = 12


def findings(found: Sequence[Finding]) -> tuple[tuple[str, str], ...]:
    """Pairs of a check with its severity and what it says, for the sections of a report."""
    return tuple((f"{one.check}, {one.severity}", _said(one)) for one in found)


def audit_markdown(audit: Audit) -> str:
    """An audit as markdown: how many findings of each check, then each of them, by table."""
    from robench.reporting.markdown import escape

    parts = [f"# Audit of {escape(audit.name)}", escape(_summary(audit))]
    if audit.sources:
        parts.append("\n".join(f"- {escape(paper)}: {escape(cite)}"
                               for paper, cite in audit.sources))
    if audit.findings:
        parts.append(_counts(audit.findings))
    for place, group in _by_place(audit.findings):
        lines = [f"## {escape(place or audit.name)}"]
        for one in group:
            rows = _row_names(one.rows)
            lines.append(f"**{one.check}, {one.severity}** ({escape(TITLES[one.check])}). "
                         f"{escape(_said(one))} Rows: {escape(rows)}.")
        parts.append("\n\n".join(lines))
    if audit.unchecked:
        listed = [f"- {escape(_where(paper))}{escape(checks)}" for paper, checks in _gaps(audit)]
        parts.append("\n".join(["## Not checked", "", *listed]))
    return "\n\n".join(parts) + "\n"


def audit_screen(audit: Audit) -> list[RenderableType]:
    """What to print of an audit on a terminal."""
    from rich.padding import Padding
    from rich.text import Text

    style = {"serious": "bold red", "warning": "yellow", "note": "dim"}
    parts: list[RenderableType] = [Text(_summary(audit), style="bold")]
    for place, group in _by_place(audit.findings):
        parts.append(Padding(Text(place or audit.name, style="cyan"), (1, 0, 0, 0)))
        for one in group:
            parts.append(Text.assemble(
                (f"{one.check} {one.severity}", style[one.severity]), f"  {_said(one)} ",
                (f"[{_row_names(one.rows, 4)}]", "dim")))
    gaps = [Text(f"  {_where(paper)}{checks}", style="dim") for paper, checks in _gaps(audit)]
    if gaps:
        parts += [Padding(Text("not checked"), (1, 0, 0, 0)), *gaps]
    return parts


def gaps(audit: Audit) -> list[str]:
    """What was not checked, a line per paper."""
    return [f"{_where(paper)}{checks}" for paper, checks in _gaps(audit)]


def _said(one: Finding) -> str:
    return f"{one.message} Next: {one.next_step}."


def _summary(audit: Audit) -> str:
    if not audit.findings:
        return f"{audit.name}: no findings"
    counted = Counter(one.severity for one in audit.findings)
    told = ", ".join(f"{counted[one]} {one}" for one in reversed(SEVERITIES) if counted[one])
    total = len(audit.findings)
    return f"{audit.name}: {total} finding{'s' if total > 1 else ''} ({told})"


def _counts(found: Sequence[Finding]) -> str:
    lines = ["| check | what it finds | " + " | ".join(reversed(SEVERITIES)) + " |",
             "| --- | --- | " + " | ".join("---:" for _ in SEVERITIES) + " |"]
    counted = Counter((one.check, one.severity) for one in found)
    for check, title in TITLES.items():
        numbers = [counted[check, severity] for severity in reversed(SEVERITIES)]
        if any(numbers):
            lines.append(f"| {check} | {title} | {' | '.join(map(str, numbers))} |")
    return "\n".join(lines)


def _by_place(found: Iterable[Finding]) -> list[tuple[str, list[Finding]]]:
    """The findings of each table, in the order in which tables first come up by name."""
    def place(one: Finding) -> tuple[str, tuple[int, str]]:
        number = "".join(sign for sign in one.table.partition(",")[0] if sign.isdigit())
        return one.paper, (int(number or 0), one.table)

    def name(one: Finding) -> str:
        return ", ".join(part for part in (one.paper, one.table) if part)

    return [(title, list(group)) for title, group in groupby(sorted(found, key=place), key=name)]


def _row_names(rows: Sequence[str], most: int = _ROWS) -> str:
    shown = [row[:12] if len(row) == 64 else row for row in rows[:most]]  # a key: its start will do
    more = f" and {len(rows) - most} more" if len(rows) > most else ""
    return ", ".join(shown) + more


def _gaps(audit: Audit) -> list[tuple[str, str]]:
    papers = dict.fromkeys(one.paper for one in audit.unchecked)
    return [(paper, "; ".join(f"{one.check}: {one.why}" for one in audit.unchecked
                              if one.paper == paper)) for paper in papers]


def _where(paper: str) -> str:
    return f"{paper}: " if paper else ""
