"""Targets by surrogates: both rates with their denominators."""

from __future__ import annotations

import math

import pytest

from robench.errors import UserError
from robench.reporting import render
from robench.reporting.transfer_layout import transfer_sheet
from tests.reporting.layout_runs import cell, run_table, texts, transferred


def test_a_table_by_hand() -> None:
    sheet = transfer_sheet(run_table(
        cell("resnet34", "pgd", 0.03, 60),
        transferred("a", "resnet34", 100, 20), transferred("b", "resnet34", 100, 90),
        transferred("c", "resnet34", 100, 0, right=150, flags=["constant"]),
        transferred("a", "vgg", 40, 10), transferred("b", "vgg", 40, 12),
    ))
    (panel,) = sheet.panels
    assert panel.caption == ("digits · recipe standard · defense none · not pruned · pgd · L∞ · "
                             "ε 0.03 · seed 0 · 200 images")
    assert texts(panel.grid) == [
        ["model", "surrogate resnet34 fooled of kept %",
         "surrogate resnet34 fooled of kept and right %", "surrogate vgg fooled of kept %",
         "surrogate vgg fooled of kept and right %"],
        ["a", "*20.0 [13.3, 28.9] (20/100)*", "20.0 [13.3, 28.9] (20/100)",
         "25.0 [14.2, 40.2] (10/40) †", "25.0 [14.2, 40.2] (10/40)"],
        ["b", "90.0 [82.6, 94.5] (90/100)", "90.0 [82.6, 94.5] (90/100)",
         "30.0 [18.1, 45.4] (12/40) †", "30.0 [18.1, 45.4] (12/40)"],
        ["c", "50.0 [40.4, 59.6] (50/100) ‡", "0.0 [0.0, 7.1] (0/50)", "–", "–"],
    ]
    assert any("c: constant" in note for note in sheet.notes)
    assert [(row["model"], row["surrogate"], row["kept"], row["fooled"], row["kept_right"],
             row["fooled_right"], row["standing"]) for row in sheet.rows] == [
        ("a", "resnet34", 100, 20, 100, 20, "best"), ("b", "resnet34", 100, 90, 100, 90, "beaten"),
        ("c", "resnet34", 100, 50, 50, 0, "barred"), ("a", "vgg", 40, 10, 40, 10, "level"),
        ("b", "vgg", 40, 12, 40, 12, "level")]


def test_other_images_of_the_surrogate_are_not_compared() -> None:
    sheet = transfer_sheet(run_table(
        transferred("a", "s", 100, 20), transferred("b", "s", 90, 80)))
    assert [row["standing"] for row in sheet.rows] == ["", ""]


def test_nothing_kept_is_no_rate() -> None:
    sheet = transfer_sheet(run_table(
        transferred("a", "s", 0, 0), transferred("b", "s", 0, 0)))
    assert texts(sheet.panels[0].grid)[1:] == [["a", "– (0/0)", "– (0/0)"],
                                               ["b", "– (0/0)", "– (0/0)"]]
    assert math.isnan(sheet.rows[0]["fooled_rate"])


def test_runs_without_transfer_cells() -> None:
    with pytest.raises(UserError, match="no transfer cells with a result") as caught:
        render(run_table(cell("a", "pgd", 0.03, 60)), "markdown", layout="transfer")
    assert "transfer: {surrogate" in str(caught.value)


def test_transfer_cells_that_cannot_be_counted() -> None:
    silent = cell("b", "pgd", 0.03, 3, threat="transfer", surrogate="s")
    with pytest.raises(UserError, match="no transfer cell says which images fooled"):
        transfer_sheet(run_table(silent))
    sheet = transfer_sheet(run_table(transferred("a", "s", 10, 5), silent))
    assert sheet.notes[-1].startswith("1 transfer cells do not say")
    assert [row["model"] for row in sheet.rows] == ["a"]


def test_many_surrogates_are_divided() -> None:
    sheet = transfer_sheet(run_table(*(
        transferred("a", f"surrogate-{place}", 10, 5) for place in range(8))))
    assert [len(panel.grid.columns) - 1 for panel in sheet.panels] == [6, 6, 4]
