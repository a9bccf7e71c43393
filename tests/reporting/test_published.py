"""Printed numbers beside measured ones: which are of the same thing, and what is said of both."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml

from robench.errors import UserError
from robench.registry import Registry
from robench.reporting import FORMATS, RunTable, render_sheet
from robench.reporting.published import Paired, Paper, measured_numbers, pair, read_paper
from robench.reporting.published_layout import published_sheet
from robench.resources import registry_folder
from tests.reporting.layout_runs import N, cell, run_table, texts, transferred

DATASETS = {"chest-xray": {"classes": ["NORMAL", "PNEUMONIA"], "image": [64, 64, 1],
                           "train": 1500}}
CHEST: dict[str, Any] = {"dataset": "chest-xray"}


def item(card: str, label: str = "", **settings: Any) -> dict[str, Any]:
    return {card: settings, "label": label or card}


def facts(**changed: Any) -> dict[str, Any]:
    matrix: dict[str, Any] = {
        "datasets": [item("npz", "chest-xray"), item("nih_cxr14"), item("isic2017")],
        "models": [item("resnet18"), item("meddef", "ours"), item("resnet34"),
                   item("cbam-resnet34", "cbam")],
        "recipes": [item("standard", epochs=6), item("pgd-at", epochs=3)],
        "defenses": [item("none"), item("jpeg")],
        "attacks": [item("fgsm"), item("pgd", "pgd-10", steps=10), item("deepfool")],
    }
    return {"datasets": DATASETS, "matrix": {**matrix, **changed}}


def pairs_of(paper: Paper, table: RunTable) -> Paired:
    return pair(paper, measured_numbers(table))


def rows_of(paired: Paired) -> set[str]:
    return {one.entry.row for one in paired.pairs}


@pytest.fixture(scope="module")
def meddef() -> Paper:
    return read_paper("meddef2025")


@pytest.fixture(scope="module")
def printed() -> dict[str, Mapping[str, str]]:
    """The rows of the shipped CSV by their ids, read without the audit."""
    path = registry_folder() / "published" / "published.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return {row["row_id"]: row for row in csv.DictReader(file)}


def test_what_is_paired_is_what_the_table_prints(meddef: Paper, printed) -> None:
    table = run_table(cell("ours", "pgd-10", 0.05, 50, **CHEST), facts=facts())
    paired = pairs_of(meddef, table)
    found = {one.entry.row: (one.measured.metric, one.measured.value) for one in paired.pairs}
    expected = {
        row: {"clean_accuracy": ("clean_accuracy", 1.0),
              "adversarial_accuracy": ("adversarial_accuracy", 1 - 50 / N),
              "asr": ("asr", 50 / N)}[said["metric"]]
        for row, said in printed.items()
        if said["paper"] == "meddef2025" and said["table"].startswith("Table")
        and said["dataset"] == "chest_xray_kermany" and said["model"] == "meddef_full"
        and not said["pruning_rate"] and not said["class_label"]
        and (said["metric"] == "clean_accuracy" or (
            said["attack"] == "pgd" and said["epsilon"] in ("0.05", "")
            and said["metric"] in ("adversarial_accuracy", "asr")))
    }
    assert expected
    assert found == expected
    assert paired.measured == 3
    assert paired.measured_alone == 0


def test_counts_of_what_stands_alone_add_up(meddef: Paper) -> None:
    table = run_table(
        cell("ours", "pgd-10", 0.05, 50, **CHEST), cell("ours", "fgsm", 0.07, 5, **CHEST),
        facts=facts())
    paired = pairs_of(meddef, table)
    assert paired.printed == sum(one.in_table for one in meddef.table.entries)
    assert len(rows_of(paired)) + sum(paired.alone.values()) == paired.printed
    assert (paired.measured, paired.measured_alone) == (5, 2)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({"model": "resnet34"}, "model"), ({"defense": "jpeg"}, "model"),
        ({"dataset": "digits"}, "data set"), ({"pruning_rate": 0.5}, "pruning rate"),
    ],
)
def test_what_fits_nothing_is_counted_by_what_it_fails_in(meddef: Paper, made, reason) -> None:
    labels: dict[str, Any] = {**CHEST, "model": "ours", **made}
    model = labels.pop("model")
    paired = pairs_of(
        meddef, run_table(cell(model, "pgd-10", 0.05, 50, **labels), facts=facts()))
    assert paired.pairs == ()
    assert paired.alone[reason] > 0
    assert paired.measured_alone == paired.measured == 3


@pytest.mark.parametrize(
    ("attack", "epsilon", "threat", "rows"),
    [("pgd-10", 0.05, "white-box", 2), ("pgd-10", 0.07, "white-box", 0),
     ("fgsm", 0.05, "white-box", 1), ("deepfool", 0.05, "white-box", 0),
     ("pgd-10", 0.05, "grey-box", 0), ("pgd-10", 0.05, "black-box", 2)],
)
def test_attack_epsilon_and_threat_must_fit(meddef, attack, epsilon, threat, rows) -> None:
    table = run_table(cell("ours", attack, epsilon, 50, threat=threat, **CHEST), facts=facts())
    found = [one for one in pairs_of(meddef, table).pairs
             if one.entry.metric != "clean_accuracy"]
    assert len(found) == rows


def test_a_data_set_of_another_number_of_classes_is_another(meddef: Paper) -> None:
    other = facts()
    other["datasets"] = {"chest-xray": {"classes": ["a", "b", "c"]}}
    table = run_table(cell("ours", "pgd-10", 0.05, 50, **CHEST), facts=other)
    assert pairs_of(meddef, table).pairs == ()


def test_an_epsilon_that_is_not_printed_is_the_stated_one_and_said(meddef: Paper) -> None:
    table = run_table(
        cell("ours", "fgsm", 0.05, 50, pruning_rate=0.3, **CHEST),
        cell("ours", "fgsm", 0.1, 90, pruning_rate=0.3, **CHEST), facts=facts())
    found = [one for one in pairs_of(meddef, table).pairs if one.entry.pruning == 0.3]
    assert [(one.measured.row["epsilon"], one.epsilon_printed) for one in found] == [(0.05, False)]
    sheet = published_sheet(table, "meddef2025")
    (row,) = [row for panel in sheet.panels for row in texts(panel.grid)[1:] if row[2] == "30"]
    assert row[5] == "(0.05)"


def test_rounded_epsilons_of_the_tables_fit(printed) -> None:
    made = cell("resnet18", "fgsm", 2 / 255, 50, dataset="isic2017")
    three = facts()
    three["datasets"] = {"isic2017": {"classes": ["a", "b", "c"]}}
    found = pairs_of(read_paper("muoka2023"), run_table(made, facts=three)).pairs
    attacked = [one.entry.row for one in found if one.entry.attack == "fgsm"]
    assert attacked
    assert {printed[row]["epsilon_text"] for row in attacked} == {"2/255"}
    assert {printed[row]["task"] for row in attacked} == {"multiclass"}


@pytest.mark.parametrize(
    ("surrogate", "paired"),
    [("resnet34", True), ("resnet34 · standard", True), ("resnet34 · pruned 0.2", False),
     ("vgg", False)],
)
def test_a_transfer_is_paired_with_the_share_of_the_kept(surrogate: str, paired: bool) -> None:
    made = transferred("cbam", surrogate, 80, 20, dataset="nih_cxr14", right=150)
    made = (replace(made[0], attack="fgsm", epsilon=0.01), *made[1:])
    found = [one for one in pairs_of(read_paper("chen2021"), run_table(made, facts=facts())).pairs
             if one.entry.metric == "asr"]
    # 50 of the images are wrong before and count: 20 fool it, of the others kept 30 are wrong.
    assert [(one.entry.shown, one.measured.value) for one in found] == (
        [("27.14 %", 50 / 80)] if paired else [])


def test_rates_that_compound_are_paired_with_what_they_leave() -> None:
    paper = read_paper("chen2021")
    made = transferred("resnet34", "resnet34", 80, 20, dataset="nih_cxr14", pruning_rate=0.52)
    found = pairs_of(paper, run_table(made, facts=facts())).pairs
    assert {one.entry.pruning for one in found} == {0.4}


def test_other_training_is_marked_and_flags_of_both_sides_are_shown() -> None:
    table = run_table(
        cell("resnet18", "pgd-10", 0.05, 50, **CHEST, flags=["stochastic"]),
        cell("resnet18", "pgd-10", 0.05, 40, **CHEST, recipe="pgd-at"), facts=facts())
    sheet = published_sheet(table, "meddef2025")
    grid = texts(next(one for one in sheet.panels if one.caption.startswith("Table 2 ")).grid)
    assert grid[0][:2] == ["model", "recipe"]
    assert [row[1] for row in grid[1:]] == ["standard"] * 2 + ["pgd-at *"] * 2
    (attacked,) = [row for row in grid if row[1] == "standard" and row[4] == "pgd-10"]
    assert attacked[6:9] == ["100.00", "75.0 [68.6, 80.5]", "−25.0"]
    assert "A1" in attacked[9].split(", ")  # PGD above clean accuracy, a known error of the table
    assert attacked[10] == "stochastic"
    legend = dict(dict(sheet.sections)["Flags"])
    assert "A1, above-clean" in legend
    assert "stochastic" in legend


def test_the_settings_of_both_sides_are_said_and_nothing_is_merged(printed) -> None:
    table = run_table(cell("ours", "pgd-10", 0.05, 50, **CHEST, recipe="pgd-at"), facts=facts())
    sheet = published_sheet(table, "meddef2025")
    published, measured, apart = sheet.lead
    for said in ("n = 624", "224 x 224", "100 epochs", "not stated: norm"):
        assert said in published
    for said in ("chest-xray: images of 64 x 64 pixels, 1500 training images, 200 test images",
                 "pgd-at: 3 epochs"):
        assert said in measured
    assert "standard: 6" not in measured
    assert "never merged" in apart
    for row in sheet.rows:
        assert row["difference"] == row["measured"] - row["published"]
        assert row["measured"] in (1.0, 0.75, 0.25)
        assert f"{100 * row['published']:.2f}" == printed[row["row_id"]]["value"]


def test_clean_accuracy_that_a_table_prints_for_every_epsilon_stands_once(printed) -> None:
    table = run_table(cell("resnet18", "pgd-10", 0.05, 50, **CHEST), facts=facts())
    sheet = published_sheet(table, "meddef2025")
    clean = [row for row in sheet.rows if row["metric"] == "clean_accuracy"]
    shown = [row for panel in sheet.panels for row in texts(panel.grid) if row[3] == "clean"]
    assert {printed[row["row_id"]]["printed"] for row in clean} == {"72.92"}
    assert len(clean) > len(shown) == 1


@pytest.mark.parametrize("format", FORMATS)
def test_in_every_format(format: str) -> None:
    table = run_table(cell("ours", "pgd-10", 0.05, 50, **CHEST), facts=facts())
    sheet = published_sheet(table, "meddef2025")
    text = render_sheet(sheet, format)
    assert text.endswith("\n")
    if format == "json":
        assert len(json.loads(text)["rows"]) == len(sheet.rows)
    elif format == "csv":
        assert text.splitlines()[0].startswith("paper,table,row_id,metric,")
    else:
        assert "98.83" in text  # as printed in Table 2


def test_an_unknown_paper_and_one_of_which_nothing_was_measured() -> None:
    table = run_table(cell("ours", "pgd-10", 0.05, 50, **CHEST), facts=facts())
    with pytest.raises(UserError, match="unknown paper 'meddef25'") as caught:
        published_sheet(table, "meddef25")
    assert caught.value.nearest == "meddef2025"
    with pytest.raises(UserError, match="no printed number of muoka2023 was measured") as caught:
        published_sheet(table, "muoka2023")
    assert "isic2017, messidor" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2


def test_other_spellings_of_a_key() -> None:
    assert read_paper("drsn_tvl2025").key == read_paper("drsn_tvl").key == "drsn_tvl"


def test_every_name_of_the_matching_exists(printed) -> None:
    path = registry_folder() / "published" / "matching.yaml"
    registry = Registry.discover()
    known = {kind: {card.name for card in registry.own(kind)}
             for kind in ("model", "recipe", "dataset")}
    for paper, said in yaml.safe_load(path.read_text(encoding="utf-8")).items():
        rows = [row for row in printed.values() if row["paper"] == paper]
        assert rows, paper
        for column, names in (("dataset", said["datasets"]), ("model", said["models"]),
                              ("defense", said["training"])):
            assert set(names) <= {row[column] for row in rows}, (paper, column)
        for kind, names in (("model", said["models"]), ("recipe", said["training"])):
            assert {name for listed in names.values() for name in listed} <= known[kind], paper
        assert all(known["dataset"] & set(names) for names in said["datasets"].values()), paper
        rates = {float(row["pruning_rate"]) for row in rows if row["pruning_rate"]}
        assert set(said.get("rates", {})) <= rates
