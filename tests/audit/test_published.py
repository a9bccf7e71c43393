"""The audit of the printed tables: what it must find in them, row by row."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from robench.audit.entrance import audit, audit_published
from robench.audit.facts import read_facts
from robench.audit.finding import Audit, Finding
from robench.resources import registry_folder

FOLDER = registry_folder() / "published"


@cache
def published() -> Audit:
    return audit_published()


@cache
def printed() -> dict[str, dict[str, str]]:
    with (FOLDER / "published.csv").open(encoding="utf-8") as file:
        return {row["row_id"]: row for row in csv.DictReader(file)}


def found(check: str, paper: str, table: str, *severities: str) -> list[Finding]:
    return [one for one in published().findings
            if (one.check, one.paper) == (check, paper) and table in one.table.split(", ")
            and (not severities or one.severity in severities)]


def rows(findings: list[Finding]) -> set[str]:
    return {row for one in findings for row in one.rows}


def test_every_row_and_paper_is_known() -> None:
    assert len(printed()) == 1159
    assert rows(list(published().findings)) <= printed().keys()
    for one in published().findings:
        assert {printed()[row]["paper"] for row in one.rows} == {one.paper}
        assert {printed()[row]["table"] for row in one.rows} == set(one.table.split(", "))


def of(paper: str, table: str, **values: str) -> set[str]:
    """The rows of a table with some values."""
    chosen = {row for row, one in printed().items() if (one["paper"], one["table"]) == (
        paper, table) and all(one[name] == value for name, value in values.items())}
    assert chosen
    return chosen


@pytest.mark.parametrize(
    ("check", "paper", "table", "values"),
    [
        # PGD's accuracy is above the clean one, rises with ε, and is 100 % on a plain ResNet18.
        ("A1", "meddef2025", "Table 2", {"attack": "pgd", "model": "resnet18"}),
        ("A1", "meddef2025", "Table 1", {"attack": "pgd", "model": "resnet18", "value": "100.00"}),
        ("A4", "meddef2025", "Table 1",
         {"attack": "pgd", "model": "resnet18", "epsilon": "0.01"}),
        ("A4", "meddef2025", "Table 2",
         {"attack": "pgd", "model": "resnet18", "epsilon": "0.05"}),
        ("A2", "meddef2025", "Table 1", {"attack": "pgd", "model": "resnet18"}),
        ("A11", "meddef2025", "Table 1",
         {"attack": "pgd", "model": "resnet18", "epsilon": "0.10"}),
        # BIM is PGD but for the random start: 0 % against 100 %.
        ("A3", "meddef2025", "Table 1", {"attack": "pgd", "model": "resnet18"}),
        ("A3", "meddef2025", "Table 1", {"attack": "bim", "model": "resnet18"}),
        ("A3", "meddef2025", "Table 3", {"attack": "bim"}),
        # "JSMA" tracks FGSM and moves with an ε that its settings do not hold.
        ("A5", "meddef2025", "Table 1",
         {"attack": "jsma", "model": "meddef_wo_afd_mfe", "epsilon": "0.05"}),
        ("A5", "meddef2025", "Table 2", {"attack": "jsma", "model": "meddef_full"}),
        ("A6", "meddef2025", "Table 1", {"attack": "jsma"}),
        ("A6", "meddef2025", "Table 2", {"attack": "jsma"}),
        # The chest X-ray ResNet18 answers PNEUMONIA, whatever it is shown.
        ("B1", "meddef2025", "Table 2", {"metric": "clean_accuracy", "model": "resnet18"}),
        ("B1", "meddef2025", "Table 2", {"attack": "fgsm", "model": "resnet18"}),
        # 0 % ASR at 70 and 80 % pruning.
        ("B2", "meddef2025", "Table 4", {"value": "0.00", "pruning_rate": "0.7"}),
        ("B2", "meddef2025", "Table 4", {"value": "0.00", "pruning_rate": "0.8"}),
        ("B4", "meddef2025", "Table 3", {}),
        ("B4", "meddef2025", "Table 4", {}),
        # The same percentages fit different test sets in one table.
        ("C1", "meddef2025", "Table 2", {"value": "72.89", "model": "resnet18"}),
        ("C1", "meddef2025", "Table 2", {"model": "meddef_wo_afd_mfe", "value": "95.69"}),
        ("C1", "meddef2025", "Table 1", {"model": "meddef_full", "value": "99.97"}),
        ("C2", "meddef2025", "Table 4", {"model": "resnet18", "pruning_rate": "0.3"}),
        ("C6", "meddef2025", "Prose 4.7", {"class_label": "DRUSEN", "metric": "sensitivity"}),
        ("C11", "chen2021", "Table 7", {"model": "cbam_resnet34", "attack": "jsma"}),
        ("C8", "drsn_tvl", "Table 10", {"attack": "cw"}),
        ("A8", "drsn_tvl", "Table 11", {"attack": "boundary", "dataset": "nih_cxr14",
                                        "metric": "adversarial_accuracy"}),
        ("C7", "muoka2023", "Table 5", {"metric": "dice", "value": "0.412"}),
        ("C9", "chen2021", "Table 1", {"metric": "params_m", "pruning_rate": "0.8"}),
        ("C9", "chen2021", "Table 5", {"metric": "params_m", "pruning_rate": "0.4"}),
        ("B3", "chen2021", "Table 5", {"metric": "clean_accuracy", "pruning_rate": "0.6"}),
        ("C14", "chen2021", "Table 3", {"attack": "jsma", "pruning_rate": "0.8"}),
        ("C17", "chen2021", "Prose 3.1", {"attack": "jsma", "dataset": "fundoscopy_kaggle_dr"}),
    ],
)
def test_what_must_be_found(check: str, paper: str, table: str, values: dict[str, str]) -> None:
    assert of(paper, table, **values) <= rows(found(check, paper, table))


@pytest.mark.parametrize(
    ("check", "paper", "table"),
    [
        ("A1", "muoka2023", "Table 4"), ("A3", "muoka2023", "Table 4"),
        ("A5", "meddef2025", "Table 3"), ("A6", "muoka2023", "Table 4"),
        ("B1", "meddef2025", "Table 1"), ("B2", "meddef2025", "Table 3"),
        ("B3", "meddef2025", "Table 1"), ("B4", "chen2021", "Table 6"),
        ("C9", "meddef2025", "Table 1"), ("C11", "chen2021", "Table 6"),
        ("C14", "chen2021", "Table 6"), ("C8", "muoka2023", "Table 5"),
        ("C8", "chen2021", "Table 6"), ("C13", "drsn_tvl", "Table 8"),
        ("C7", "muoka2023", "Table 7"), ("C6", "meddef2025", "Table 1"),
    ],
)
def test_what_is_not_there_is_not_found(check: str, paper: str, table: str) -> None:
    assert found(check, paper, table) == []


def test_what_the_numbers_of_a_finding_say() -> None:
    (collapse,) = (one for one in found("B1", "meddef2025", "Table 2") if "resnet18" in one.message)
    assert "641/879 is the share of PNEUMONIA" in collapse.message
    (larger,) = found("C10", "meddef2025", "Table 1")
    assert "meddef_wo_afd_mfe_msf 17.61 M, meddef_wo_afd_mfe 16.57 M" in larger.message
    (compounding,) = found("C9", "chen2021", "Table 2")
    assert "one after another" in compounding.message
    (ours,) = (one for one in found("C17", "chen2021", "Table 7") if one.severity == "serious")
    assert "66.25 %" in ours.message
    assert "62.73 %" in ours.message
    shared = [one for one in found("C1", "meddef2025", "Table 2") if "no n up to" in one.message]
    assert "n = 1114" in shared[0].message


def test_small_differences_are_notes() -> None:
    assert found("A7", "muoka2023", "Table 6")
    assert found("A7", "muoka2023", "Table 6", "warning", "serious") == []
    assert found("A2", "muoka2023", "Table 6", "warning", "serious") == []


def test_checks_that_a_paper_rules_out_are_named() -> None:
    missing = {(one.check, one.paper) for one in published().unchecked}
    assert ("B1", "drsn_tvl") in missing
    assert ("C1", "chen2021") in missing
    assert ("A1", "meddef2025") not in missing


def test_the_same_tables_from_elsewhere(tmp_path: Path) -> None:
    copy = tmp_path / "copy.csv"
    copy.write_bytes((FOLDER / "published.csv").read_bytes())
    assert audit(copy).findings == published().findings
    texts = pd.read_csv(copy, dtype=str, keep_default_na=False)
    assert audit(texts).findings == published().findings
    # As numbers they have lost the zeros at their end, so that less can be found, and nothing new.
    everything = {(one.check, one.paper, one.table): set(one.rows) for one in published().findings}
    for one in published().findings:
        everything[one.check, one.paper, one.table] |= set(one.rows)
    as_numbers = audit(pd.read_csv(copy)).findings
    assert len(as_numbers) > 0.9 * len(published().findings)
    for one in as_numbers:
        assert set(one.rows) <= everything[one.check, one.paper, one.table]


def test_the_facts_of_the_papers() -> None:
    facts = read_facts(FOLDER / "settings.yaml")
    papers = {row["paper"] for row in printed().values()}
    assert facts.keys() == papers
    datasets = {(row["paper"], row["dataset"]) for row in printed().values()}
    for paper, known in facts.items():
        assert known.cite
        for name, sets in known.test_sets.items():
            assert (paper, name) in datasets
            for one in sets:
                assert one.where
                assert not one.classes or sum(one.classes.values()) == one.n
        for name in (*known.classes, *known.surrogates):
            assert (paper, name.partition("/")[0]) in datasets


def test_the_shipped_report_is_up_to_date() -> None:
    report = Path(__file__).parents[2] / "reports" / "published-audit.md"
    if not report.is_file():
        pytest.skip("no reports beside an installed robench")
    from robench.reporting.findings import audit_markdown

    assert report.read_text(encoding="utf-8") == audit_markdown(published())
