"""What the audit finds, in reports and as text of its own."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from robench.audit.catalogue import FLAG_WORDS
from robench.audit.finding import Audit, Finding, Unchecked, flags_by_row
from robench.audit.run import audit_run
from robench.reporting import FORMATS, RunTable, render
from robench.reporting.findings import audit_markdown
from robench.scoring.rows import leaderboard_rows
from tests.audit.runs import SmallRun, cell, every


@pytest.fixture(scope="module")
def audited() -> RunTable:
    run = SmallRun((cell("fgsm", every(45)), cell("pgd", every(40))))
    found = audit_run(run).findings
    flags = flags_by_row(found, FLAG_WORDS)
    rows = leaderboard_rows(
        (record, columns, {**about, "flags": flags.get(record.key, ())})
        for record, columns, about in run.cells())
    return RunTable(rows=rows, name="small", run_id="small-1", findings=found)


@pytest.mark.parametrize("name", FORMATS)
def test_reports_show_what_the_audit_finds(audited: RunTable, name: str) -> None:
    text = render(audited, name)
    assert "weak-attack" in text
    if name != "csv":  # a row per cell, nothing else
        assert "check its step size" in text
    if name in ("markdown", "html", "latex"):
        assert "(audit A2)" in text


def test_markdown_is_read_as_it_was_meant() -> None:
    nasty = "*a* <b> `c` | d_e [f](g)"
    one = Finding("A1", "note", nasty, nasty, (nasty,), nasty, "look")
    text = audit_markdown(Audit(nasty, (one,), (Unchecked("B1", nasty, nasty),)))
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    assert not any(child.type in ("em_open", "link_open", "html_inline", "code_inline")
                   for token in tokens for child in token.children or [])
    shown = ["".join(child.content for child in token.children or []) for token in tokens]
    assert f"A1, note (accuracy under attack above clean accuracy). {nasty} Next: look. " \
           f"Rows: {nasty}." in shown


def test_nothing_found() -> None:
    text = audit_markdown(Audit("t", (), ()))
    assert text == "# Audit of t\n\nt: no findings\n"
