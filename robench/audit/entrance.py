"""What can be audited: a DataFrame, a CSV file, a run, the published tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from robench.audit.catalogue import check_tables
from robench.audit.facts import Facts, read_facts
from robench.audit.finding import Audit
from robench.audit.reading import read_csv, read_frame
from robench.audit.table import Table
from robench.errors import UserError
from robench.resources import registry_folder

PUBLISHED: Final = "published"
#: What `robench run --out` writes beside a leaderboard.
_RECORD: Final = "run.json"


def audit(table: Any) -> Audit:
    """The findings on a table, and the checks that it rules out.

    `table`: a pandas DataFrame, the path of a CSV (the published layout, a leaderboard, or columns
    such as `model`, `attack`, `epsilon`, `clean_accuracy`, `asr`), a run of robench, or
    `"published"`. Raises UserError for what is none of them.
    """
    if hasattr(table, "record") and hasattr(table, "cells"):
        from robench.audit.run import audit_run  # numpy, which tables do not need

        return audit_run(table)
    if hasattr(table, "columns") and hasattr(table, "itertuples"):
        return check_tables(read_frame(table, _shipped_facts()), name="DataFrame")
    if table == PUBLISHED:
        return audit_published()
    if isinstance(table, (str, Path)):
        return audit_csv(Path(table))
    raise UserError("cannot be audited", got=type(table).__name__,
                    expected="a DataFrame, the path of a CSV, a run, or 'published'")


def audit_published() -> Audit:
    """The audit of the printed tables that ship with robench."""
    return check_tables(shipped_tables(), name=PUBLISHED)


def shipped_tables() -> list[Table]:
    """The printed tables that ship with robench, one per paper."""
    return read_csv(registry_folder() / "published" / "published.csv", _shipped_facts())


def audit_csv(path: Path) -> Audit:
    """The audit of a CSV file.

    A `run.json` beside a leaderboard gives its class counts. What is known of the shipped papers
    holds for rows that name one of them in the column `paper`.
    """
    facts = {**_shipped_facts(), **_facts_beside(path)}
    return check_tables(read_csv(path, facts), name=path.name)


def _shipped_facts() -> dict[str, Facts]:
    return read_facts(registry_folder() / "published" / "settings.yaml")


def _facts_beside(path: Path) -> dict[str, Facts]:
    record = path.with_name(_RECORD)
    if not record.is_file():
        return {}
    from robench.audit.cells import facts_of

    try:
        read = json.loads(record.read_text(encoding="utf-8"))
        return {"": facts_of(read)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return {}  # a file of that name that is no record says nothing of the table
