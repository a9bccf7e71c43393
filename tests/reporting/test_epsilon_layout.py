"""Victims by attacks and epsilons: small tables by hand."""

from __future__ import annotations

import pytest

from robench.reporting import render
from robench.reporting.epsilon_layout import epsilon_sheet
from robench.reporting.panels import parts
from tests.reporting.layout_runs import cell, run_table, texts


def test_a_table_by_hand() -> None:
    sheet = epsilon_sheet(run_table(
        cell("a", "fgsm", 0.01, 20), cell("a", "pgd", 0.01, 20), cell("a", "pgd", 8 / 255, 100),
        cell("b", "fgsm", 0.01, 90, right=180), cell("b", "pgd", 0.01, 24, right=180),
        cell("c", "fgsm", 0.01, 0, right=110, flags=["constant"]),
    ))
    (panel,) = sheet.panels
    assert panel.caption == ("digits · white-box · L∞ · seed 0 · recipe standard · defense none · "
                             "not pruned · 200 images")
    assert texts(panel.grid) == [
        ["model", "clean %", "ε 0.01 fgsm", "ε 0.01 pgd", "ε 0.01 worst-case", "ε 8/255 pgd",
         "ε 8/255 worst-case"],
        ["a", "*100.0*", "*90.0 [85.1, 93.4]*", "*90.0 [85.1, 93.4]*", "*90.0 [85.1, 93.4]*",
         "50.0 [43.1, 56.9]", "50.0 [43.1, 56.9]"],
        ["b", "90.0", "45.0 [38.3, 51.9]", "78.0 [71.8, 83.2]", "45.0 [38.3, 51.9]", "–", "–"],
        ["c", "55.0 ‡", "55.0 [48.1, 61.7] ‡", "–", "55.0 [48.1, 61.7] ‡", "–", "–"],
    ]
    assert any(note.endswith(": c: constant.") for note in sheet.notes), sheet.notes


def test_ties_and_what_cannot_be_told_apart_share_a_mark_and_nothing_is_bold() -> None:
    grid = epsilon_sheet(run_table(
        cell("a", "fgsm", 0.1, 20), cell("b", "fgsm", 0.1, 20), cell("c", "fgsm", 0.1, 23),
        cell("d", "fgsm", 0.1, 120),
    )).panels[0].grid
    assert [row[-1] for row in texts(grid)[1:]] == [
        "90.0 [85.1, 93.4] †", "90.0 [85.1, 93.4] †", "88.5 [83.3, 92.2] †", "40.0 [33.5, 46.9]"]
    assert [row[1] for row in texts(grid)[1:]] == ["100.0 †"] * 4


def test_a_table_per_data_set_threat_norm_and_seed() -> None:
    sheet = epsilon_sheet(run_table(
        cell("a", "fgsm", 0.1, 2), cell("a", "fgsm", 0.1, 2, dataset="chest"),
        cell("a", "fgsm", 0.1, 2, threat="grey-box"), cell("a", "fgsm", 0.5, 2, norm="l2"),
        cell("a", "fgsm", 0.1, 2, seed=1),
        cell("a", "fgsm", 0.1, 2, threat="transfer", surrogate="b"),
    ))
    assert [panel.caption.split(" · recipe")[0] for panel in sheet.panels] == [
        "digits · white-box · L∞ · seed 0", "chest · white-box · L∞ · seed 0",
        "digits · grey-box · L∞ · seed 0", "digits · white-box · L2 · seed 0",
        "digits · white-box · L∞ · seed 1", "digits · transfer · surrogate b · L∞ · seed 0"]


def test_a_clean_accuracy_that_differs_between_cells_is_not_ranked() -> None:
    grid = epsilon_sheet(run_table(
        cell("a", "fgsm", 0.1, 2), cell("a", "fgsm", 0.2, 2, right=190),
        cell("b", "fgsm", 0.1, 50), cell("b", "fgsm", 0.2, 50),
    )).panels[0].grid
    assert [row[1] for row in texts(grid)[1:]] == ["95.0–100.0 ‡", "100.0"]


def test_victims_that_met_other_attacks_are_not_compared_under_the_worst_case() -> None:
    grid = epsilon_sheet(run_table(
        cell("a", "fgsm", 0.1, 20), cell("a", "pgd", 0.1, 20), cell("b", "fgsm", 0.1, 190),
    )).panels[0].grid
    a, b = (row[2:] for row in texts(grid)[1:])
    assert a == ["*90.0 [85.1, 93.4]*", "90.0 [85.1, 93.4]", "90.0 [85.1, 93.4]"]
    assert b == ["5.0 [2.7, 9.0]", "–", "5.0 [2.7, 9.0]"]


@pytest.mark.parametrize("attacks", [2, 3, 7])
def test_forty_rows_stay_narrow_enough_to_read(attacks: int) -> None:
    made = [
        cell(f"model-{place}", f"attack-{which}", epsilon, 3 * place, recipe="pgd-at")
        for place in range(40) for which in range(attacks) for epsilon in (0.01, 0.05, 0.1)
    ]
    text = render(run_table(*made), "markdown", layout="epsilon")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert max(map(len, lines)) <= 185
    assert len(lines) % 42 == 0
    wanted = 3 * (attacks + 1)
    shown = sum(line.count("ε 0.") for line in lines)
    assert shown == wanted


def test_parts_keep_groups_together() -> None:
    assert parts([[1, 2], [3, 4], [5, 6], [7]], most=4) == [[1, 2, 3, 4], [5, 6, 7]]
    assert parts([[1, 2, 3], [4, 5]], most=4) == [[1, 2, 3], [4, 5]]
    assert parts([[1, 2, 3, 4, 5], [6]], most=2) == [[1, 2], [3, 4], [5, 6]]


def test_long_rows_are_those_of_the_leaderboard_and_where_they_stand() -> None:
    table = run_table(
        cell("a", "fgsm", 0.1, 20), cell("a", "pgd", 0.1, 20), cell("b", "fgsm", 0.1, 190),
        cell("b", "pgd", 0.1, 190), cell("c", "fgsm", 0.1, 1, flags=["zero-gradient"]),
        cell("c", "pgd", 0.1, 100),
    )
    sheet = epsilon_sheet(table)
    assert [{name: row[name] for name in table.rows[0]} for row in sheet.rows] == table.rows
    assert [(row["model"], row["attack"], row["standing"], row["not_ranked"])
            for row in sheet.rows] == [
        ("a", "fgsm", "best", ""), ("a", "pgd", "best", ""), ("a", "worst-case", "best", ""),
        ("b", "fgsm", "beaten", ""), ("b", "pgd", "beaten", ""), ("b", "worst-case", "beaten", ""),
        ("c", "fgsm", "barred", "zero-gradient"), ("c", "pgd", "beaten", ""),
        ("c", "worst-case", "barred", "zero-gradient")]
