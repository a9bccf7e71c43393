"""Pruning surfaces: by hand, against numpy, and against scipy's bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from robench.reporting.shown import Gaps, shown
from robench.reporting.surface_layout import surface_sheet
from robench.reporting.surface_points import networks
from tests.reporting.image_runs import number, numbers
from tests.reporting.layout_runs import Made, N, cell, run_table, texts


def points(model: str, attack: str, **at: tuple[int, int]) -> list[Made]:
    """Cells at ε 0.1: `r30=(broken, right)` is the rate 0.3."""
    return [cell(model, attack, 0.1, broken, right=right, pruning_rate=int(rate[1:]) / 100,
                 sparsity=int(rate[1:]) / 100 * 0.99)
            for rate, (broken, right) in at.items()]


def test_a_table_by_hand() -> None:
    record, columns, metadata = points("a", "pgd", r0=(20, 200))[0]
    sheet = surface_sheet(run_table(
        (record, columns, {**metadata, "parameters_left": 1_234_567}),
        *points("a", "pgd", r30=(38, 200), r80=(0, 100)),
        cell("a", "fgsm", 0.1, 5, right=200),
    ))
    surface, collapse = sheet.panels
    assert surface.caption == ("digits · white-box · L∞ · seed 0 · recipe standard · defense none "
                               "· 200 images · pgd")
    titles, *rows = texts(surface.grid)
    assert titles == ["model", "zeros %", "parameters left", "clean %", "ε 0.1 robust %",
                      "ε 0.1 retained %"]
    assert [[*row[:5], row[5].split(" [")[0]] for row in rows] == [
        ["a", "0.0", "1,234,567", "100.0", "90.0 [85.1, 93.4]", "100.0"],
        ["", "29.7", "–", "100.0", "81.0 [75.0, 85.8]", "90.0"],
        ["", "79.2", "–", "50.0", "50.0 [43.1, 56.9]", "55.6"],
    ]
    assert "parameters left are not recorded (a" in sheet.notes[-1]
    clean = texts(collapse.grid)[1]
    assert clean[1:5] == ["*clean*", "", "*seen*", "*29.7–79.2*"]
    assert number(sheet, "collapse_fall", attack="clean")["value"] == pytest.approx(0.5)


def test_retention_has_the_paired_interval_of_scipy() -> None:
    random = np.random.default_rng(0)
    right = random.random(N) < 0.9
    dense, pruned = right & (random.random(N) < 0.7), right & (random.random(N) < 0.5)
    made = [cell("a", "pgd", 0.1, 0, pruning_rate=rate, columns={
        "clean_correct": right, "success": right & ~kept,
        "adversarial_prediction": (~kept).astype(int), "clean_prediction": (~right).astype(int),
    }) for rate, kept in ((0.0, dense), (0.5, pruned))]
    sheet = surface_sheet(run_table(*made))
    known = number(sheet, "retention", pruning_rate=0.5)
    assert known["value"] == pytest.approx(pruned.sum() / dense.sum())
    ends = bootstrap(
        (pruned.astype(float), dense.astype(float)), lambda one, other, axis: one.mean(
            axis=axis) / other.mean(axis=axis),
        paired=True, vectorized=True, method="percentile", n_resamples=3000, random_state=1,
    ).confidence_interval
    assert (known["low"], known["high"]) == pytest.approx(tuple(ends), rel=0.04)
    row = next(row for row in run_table(*made).rows if row["pruning_rate"] == 0.5)
    robust = number(sheet, "robust_accuracy", pruning_rate=0.5)
    assert (robust["value"], robust["low"]) == (row["robust_accuracy"], row["robust_accuracy_low"])


def test_a_sparsity_that_lacks_an_attack_is_left_out_and_told() -> None:
    made = [*points("a", "fgsm", r0=(10, 200), r30=(20, 200), r50=(15, 200), r70=(0, 200)),
            *points("a", "pgd", r0=(30, 200), r30=(40, 200), r70=(50, 200))]
    sheet = surface_sheet(run_table(*made))
    assert sheet.panels[0].caption.endswith("worst case over fgsm, pgd")
    assert [row[1] for row in texts(sheet.panels[0].grid)[1:]] == ["0.0", "29.7", "69.3"]
    assert "not all of the attacks met this sparsity (a" in sheet.notes[-1]
    assert [row["value"] for row in numbers(sheet, "robust_accuracy")] == [0.85, 0.8, 0.75]
    assert {row["of"] for row in numbers(sheet, "robust_accuracy")} == {"fgsm, pgd"}


def test_networks_at_the_same_clean_accuracy() -> None:
    # Clean: a from 100 to 60 %, b from 80 to 40 %: both reach 60 to 80, so 70 % it is.
    sheet = surface_sheet(run_table(
        *points("a", "pgd", r0=(20, 200), r80=(60, 120)),
        *points("b", "pgd", r0=(100, 160), r80=(40, 80))))
    assert number(sheet, "equal_clean_accuracy")["value"] == pytest.approx(0.7)
    at = {"a": np.interp(0.7, [0.6, 1.0], [0.3, 0.9]), "b": np.interp(0.7, [0.4, 0.8], [0.2, 0.3])}
    assert number(sheet, "robust_at_equal_clean")["value"] == pytest.approx(at["a"])
    assert number(sheet, "other_robust_at_equal_clean")["value"] == pytest.approx(at["b"])
    known = number(sheet, "difference_at_equal_clean")
    assert known["value"] == pytest.approx(at["a"] - at["b"])
    assert known["low"] < known["value"] < known["high"]
    row = texts(sheet.panels[1].grid)[1]
    assert row[:3] == ["a", "b", "*0.1*"]
    assert row[-1].startswith("*17.5 [")


@pytest.mark.parametrize(
    ("other", "why"),
    [(points("b", "pgd", r0=(0, 80), r80=(0, 40)), "no clean accuracy in common"),
     (points("b", "fgsm", r0=(0, 200), r80=(0, 100)), "did not meet the same attacks")],
)
def test_networks_that_cannot_be_compared(other: list[Made], why: str) -> None:
    sheet = surface_sheet(run_table(*points("a", "pgd", r0=(20, 200), r80=(60, 120)), *other))
    assert texts(sheet.panels[1].grid)[1][3:] == ["–"] * 4
    assert why in sheet.notes[-1]
    assert why in number(sheet, "difference_at_equal_clean")["why"]


def test_nothing_to_retain_and_too_few_sparsities_for_a_collapse() -> None:
    sheet = surface_sheet(run_table(*points("a", "pgd", r0=(200, 200), r50=(150, 200))))
    (panel,) = sheet.panels
    assert [row[-1] for row in texts(panel.grid)[1:]] == ["–", "–"]
    assert "nothing to retain" in sheet.notes[-1]
    assert "it needs three sparsities" in sheet.notes[-1]


def test_flags_of_a_point_stand_on_all_that_rests_on_it() -> None:
    made = points("a", "pgd", r0=(20, 200), r30=(30, 200), r80=(0, 120))
    made[2][2]["flags"].append("constant")
    sheet = surface_sheet(run_table(*made))
    surface, collapse = (texts(panel.grid)[1:] for panel in sheet.panels)
    assert [row[-1] for row in surface] == ["", "", "constant"]
    assert {row[-1] for row in collapse} == {"constant"}


def test_the_same_sparsity_twice_counts_once() -> None:
    twice = [cell("a", "pgd", 0.1, broken, pruning_rate=rate, sparsity=zeros)
             for rate, zeros, broken in ((0.0, 0.0, 20), (0.1, 0.2, 30), (0.2, 0.2, 40))]
    gaps = Gaps()
    (network,) = networks(shown(run_table(*twice)), gaps)
    assert network.sparsities == (0.0, 0.2)
    assert "the same sparsity as at a smaller rate" in gaps.why
