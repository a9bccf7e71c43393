"""What `robench audit` prints, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robench.results import find_run
from robench.store import Store

Robench = Callable[..., Any]
FIELDS = ["check", "severity", "paper", "table", "rows", "message"]
WRONG = "model,attack,accuracy\nm,none,90.0%\nm,pgd,97.0%\n"
SOUND = "model,attack,accuracy\nm,none,90.0%\nm,pgd,40.0%\n"
NOTE = "table,model,attack,accuracy\n1,m,pgd,40.0%\n1,m,pgd,40.0%\n"


@pytest.fixture
def results(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "results.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_published_tables_as_json(robench: Robench) -> None:
    told = robench("audit", "published", "--format", "json")
    assert told.code == 0
    findings = json.loads(told.out)
    assert len(findings) > 50
    assert all(list(finding) == FIELDS for finding in findings)
    assert "not checked: drsn_tvl: A1: no column clean_accuracy" in told.err


def test_a_table_on_the_screen(robench: Robench, results, fine, widest) -> None:
    told = fine(robench("audit", results(WRONG)))
    assert told.startswith("results.csv: 1 finding (1 warning)")
    assert "A1 warning" in told
    assert "[row 3, row 2]" in told
    assert "not checked" in told
    assert widest(told) <= 100
    assert fine(robench("audit", results(SOUND))).startswith("results.csv: no findings")


def test_markdown_to_a_file(robench: Robench, results, fine, tmp_path: Path) -> None:
    path = tmp_path / "audit.md"
    assert fine(robench("audit", results(WRONG), "-f", "markdown", "--output", path)) == ""
    text = path.read_text(encoding="utf-8")
    assert text == fine(robench("audit", results(WRONG), "-f", "markdown"))
    for part in ("# Audit of results.csv", "| A1 |", "**A1, warning**", "## Not checked"):
        assert part in text


@pytest.mark.parametrize(("text", "code"), [(WRONG, 1), (SOUND, 0), (NOTE, 0)])
def test_strict_ends_with_1_where_more_than_notes_is_found(
    robench: Robench, results, text: str, code: int
) -> None:
    assert robench("audit", results(text), "--strict").code == code
    assert robench("audit", results(text)).code == 0
    assert robench("audit", results(text), "--strict", "-f", "json").code == code


def test_a_run(robench: Robench, store: Path, fine) -> None:
    findings = json.loads(fine(robench("audit", "--format", "json", "--store", store)))
    assert findings == json.loads(fine(robench("audit", "tiny-", "-f", "json", "--store", store)))
    run = find_run(Store(store), None)
    assert [one.as_dict() for one in run.findings()] == findings
    keys = {cell["key"] for cell in run.record["cells"]}
    assert {row for one in findings for row in one["rows"]} <= keys
    told = fine(robench("audit", "--store", store))
    assert "F6-unbounded: no attack without ε was run" in " ".join(told.split())


def test_what_cannot_be_audited(complaint, results, store: Path, tmp_path: Path) -> None:
    assert "no such run, got 'tinny'" in complaint("audit", "tinny", "--store", store)
    assert "no run in the store" in complaint("audit", "--store", tmp_path / "none")
    assert "No such file" in complaint("audit", tmp_path / "gone.csv")
    assert "unknown format 'html'" in complaint("audit", "published", "--format", "html")
    (tmp_path / "notes.txt").write_text("no table\n")
    assert "no column of results" in complaint("audit", tmp_path / "notes.txt")
    gone = tmp_path / "gone" / "a.md"
    assert "cannot write the audit" in complaint("audit", results(SOUND), "--output", gone)


def test_a_run_whose_outcomes_are_elsewhere(complaint, out: Path, tmp_path: Path) -> None:
    said = complaint("audit", out / "run.json", "--store", tmp_path / "none")
    assert "no outcomes of this run" in said
    assert "leaderboard.csv" in said


def test_no_torch_and_no_heavy_library() -> None:
    heavy = "{'torch', 'pandas', 'scipy', 'statsmodels', 'sklearn', 'pyarrow'}"
    code = f"""
import sys
from typer.testing import CliRunner
from robench.cli.main import app
assert CliRunner().invoke(app, ["audit", "published"]).exit_code == 0
print(sorted({heavy} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
