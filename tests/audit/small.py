"""Small tables, and what a check finds in them."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

from robench.audit.catalogue import CHECKS, check_tables
from robench.audit.facts import NOTHING, Facts, TestSet
from robench.audit.finding import Finding
from robench.audit.reading import tables
from robench.audit.table import Table

#: A test set of 100 with classes of 70 and 30, and one of 1,000 without known classes.
FACTS = Facts(
    test_sets={
        "d": (TestSet(100, {"well": 70, "ill": 30}),), "large": (TestSet(1000),),
        "odd": (TestSet(7, {}, "Table 9"),),
    },
    classes={"large": 4, "hard": 5},
    attacks={
        "pgd": {"steps": 40, "step": 0.01, "epsilon": 0.05},
        "bim": {"steps": 40, "step": 0.01, "epsilon": 0.05},
        "fgsm": {"steps": 1, "epsilon": 0.05}, "jsma": {"theta": 0.1, "where": "here"},
        "apgd": {"epsilon": "per-row"},
    },
    surrogates={"large": "source"},
)


def read(text: str, facts: Facts = NOTHING, paper: str = "") -> list[Table]:
    """The tables of a CSV text; `|` separates its columns and blanks around them do not count."""
    lines = [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]
    buffer = io.StringIO()
    csv.writer(buffer).writerows(lines)
    buffer.seek(0)
    rows = list(csv.DictReader(buffer))
    return [replace(one, paper=paper or one.paper)
            for one in tables(rows, lines[0], name="small.csv", facts={"": facts})]


def findings(text: str, facts: Facts = FACTS) -> list[Finding]:
    """What all checks find in a CSV text."""
    return list(check_tables(read(text, facts), name="small").findings)


def of(check: str, text: str, facts: Facts = FACTS) -> list[Finding]:
    """What one check finds; it must not be ruled out."""
    (chosen,) = (one for one in CHECKS if one.id == check)
    found: list[Finding] = []
    for table in read(text, facts):
        for need in chosen.needs:
            assert not table.known.isdisjoint(need.split("|")), f"{check} has no {need}"
        found += chosen.run(table)
    assert all(one.check == check for one in found)
    return found
