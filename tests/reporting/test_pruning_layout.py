"""Models and attacks by pruning rates: small tables by hand."""

from __future__ import annotations

import pytest

from robench.errors import UserError
from robench.reporting import render
from robench.reporting.pruning_layout import pruning_sheet
from tests.reporting.layout_runs import cell, run_table, texts


def test_a_table_by_hand() -> None:
    sheet = pruning_sheet(run_table(
        cell("a", "fgsm", 0.1, 20), cell("a", "fgsm", 0.1, 30, pruning_rate=0.3, sparsity=0.2987),
        cell("a", "fgsm", 0.1, 0, right=0, pruning_rate=0.7, flags=["below-majority"]),
        cell("b", "fgsm", 0.1, 80), cell("b", "fgsm", 0.1, 33, pruning_rate=0.3, sparsity=0.2987),
        cell("b", "fgsm", 0.1, 5, right=160, pruning_rate=0.7),
        cell("c", "fgsm", 0.1, 100),
    ))
    (panel,) = sheet.panels
    assert panel.caption == ("digits · white-box · L∞ · seed 0 · ε 0.1 · recipe standard · "
                             "defense none · 200 images")
    assert texts(panel.grid) == [
        ["model", "attack", "measured", "pruned 0 %", "pruned 30 %", "pruned 70 %"],
        ["a", "", "zeros %", "0.0", "29.9", "70.0"],
        ["", "", "clean %", "100.0 †", "100.0 †", "0.0 ‡"],
        ["", "fgsm", "robust %", "*90.0 [85.1, 93.4]*", "85.0 [79.4, 89.3] †", "0.0 [0.0, 1.9] ‡"],
        ["", "fgsm", "ASR %", "10.0 [6.6, 14.9]", "15.0 [10.7, 20.6]", "–"],
        ["b", "", "zeros %", "0.0", "29.9", "70.0"],
        ["", "", "clean %", "100.0 †", "100.0 †", "80.0"],
        ["", "fgsm", "robust %", "60.0 [53.1, 66.5]", "83.5 [77.7, 88.0] †", "77.5 [71.2, 82.7]"],
        ["", "fgsm", "ASR %", "40.0 [33.5, 46.9]", "16.5 [12.0, 22.3]", "3.1 [1.3, 7.1]"],
        ["c", "", "zeros %", "0.0", "–", "–"],
        ["", "", "clean %", "100.0 †", "–", "–"],
        ["", "fgsm", "robust %", "50.0 [43.1, 56.9]", "–", "–"],
        ["", "fgsm", "ASR %", "50.0 [43.1, 56.9]", "–", "–"],
    ]
    assert sheet.notes[-1].endswith(": a · pruned 70 %: below-majority.")
    assert len(sheet.rows) == 7


def test_several_attacks_end_with_the_worst_case_and_each_epsilon_has_a_table() -> None:
    sheet = pruning_sheet(run_table(*(
        cell("a", attack, epsilon, 20, pruning_rate=rate)
        for attack in ("fgsm", "pgd") for epsilon in (0.1, 0.2) for rate in (0.0, 0.5)
    )))
    assert [panel.caption.split(" · ")[4] for panel in sheet.panels] == ["ε 0.1", "ε 0.2"]
    assert [row[1:3] for row in texts(sheet.panels[0].grid)[3:]] == [
        [attack, measured] for attack in ("fgsm", "pgd", "worst-case")
        for measured in ("robust %", "ASR %")]


@pytest.mark.parametrize(("rates", "widths"), [(2, [2]), (6, [6]), (9, [5, 4]), (14, [5, 5, 4])])
def test_many_rates_are_divided_evenly(rates: int, widths: list[int]) -> None:
    sheet = pruning_sheet(run_table(*(
        cell("a", "fgsm", 0.1, 20, pruning_rate=(1 + place) / 20) for place in range(rates))))
    assert [len(panel.grid.columns) - 3 for panel in sheet.panels] == widths


def test_a_run_that_prunes_nothing() -> None:
    with pytest.raises(UserError, match="the run prunes nothing") as caught:
        pruning_sheet(run_table(cell("a", "fgsm", 0.1, 20)))
    assert "rates" in str(caught.value)


def test_forty_rows_stay_narrow_enough_to_read() -> None:
    made = [
        cell(f"model-{place}", attack, 0.05, 9 * place, pruning_rate=rate, recipe="pgd-at")
        for place in range(4) for attack in ("fgsm", "pgd", "bim", "jsma")
        for rate in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
    ]
    text = render(run_table(*made), "markdown", layout="pruning")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert max(map(len, lines)) <= 170
    assert len(lines) == 2 * (2 + 4 * 12)
