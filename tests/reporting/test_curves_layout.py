"""Security curves: by hand, against the leaderboard, and against scipy's bootstrap."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from robench.reporting import render
from robench.reporting.curves_layout import curves_sheet
from robench.scoring.rows import WORST_CASE
from tests.reporting.image_runs import number, numbers, random_cell
from tests.reporting.layout_runs import N, cell, run_table, texts


def test_a_table_by_hand() -> None:
    sheet = curves_sheet(run_table(
        cell("a", "fgsm", 0.01, 0), cell("a", "fgsm", 0.05, 50, flags=["zero-gradient"]),
        cell("a", "pgd", 0.01, 20), cell("a", "pgd", 0.05, 200),
        cell("b", "pgd", 0.05, 40, right=160),
    ))
    (panel,) = sheet.panels
    assert panel.caption == ("digits · white-box · L∞ · seed 0 · recipe standard · defense none · "
                             "not pruned · 200 images")
    titles, *rows = texts(panel.grid)
    assert titles == ["model", "attack", "clean %", "robust % at ε 0.01", "robust % at ε 0.05",
                      "area to ε 0.05", "flags"]
    without = [[*row[:5], row[5].split(" [")[0], row[6]] for row in rows]
    assert without == [
        ["a", "fgsm", "100.0", "100.0 (ASR ≤ 1.5)", "75.0 [68.6, 80.5]", "0.04–0.05",
         "zero-gradient"],
        ["", "pgd", "100.0", "90.0 [85.1, 93.4]", "0.0 (≤ 1.5)", "0.009–0.046", ""],
        ["", "*worst-case*", "*100.0*", "*90.0 [85.1, 93.4]*", "*0.0 (≤ 1.5)*", "*0.009–0.046",
         "zero-gradient"],
        # One ε, 0.05: of the others it is only known that they broke below it, or did not.
        ["b", "pgd", "80.0", "60.0–80.0", "60.0 [53.1, 66.5]", "0.03–0.04", ""],
    ]
    assert "to 0.05, in the unit of ε" in sheet.notes[0]
    assert number(sheet, "robust_rule_of_three", attack="pgd")["value"] == 3 / 200
    bound = number(sheet, "asr_rule_of_three", attack="fgsm")
    assert (bound["epsilon"], bound["value"], bound["n"]) == (0.01, 3 / 200, 200)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_at_every_epsilon_a_curve_is_the_leaderboard(seed: int) -> None:
    random = np.random.default_rng(seed)
    right = random.random(N) < 0.9
    reach = {"fgsm": random.exponential(0.05, N), "pgd": random.exponential(0.03, N)}
    table = run_table(*(random_cell("a", attack, epsilon, d, right=right)
                        for attack, d in reach.items() for epsilon in (0.01, 0.03, 0.1)))
    sheet = curves_sheet(table)
    for row in table.rows:
        where = {"attack": row["attack"], "epsilon": row["epsilon"]}
        for end in ("least", "most"):
            known = number(sheet, f"robust_accuracy_at_{end}", **where)
            assert known["value"] == pytest.approx(row["robust_accuracy"], abs=1e-12)
            assert known["low"] == pytest.approx(row["robust_accuracy_low"])
    best = np.where(right, np.minimum(*reach.values()), 0.0)
    area = number(sheet, "area_at_most", attack=WORST_CASE), number(
        sheet, "area_at_least", attack=WORST_CASE)
    truth = np.minimum(best, 0.1).mean()
    assert area[1]["value"] <= truth <= area[0]["value"]


def test_a_search_is_measured_and_its_area_exact_with_the_interval_of_scipy() -> None:
    random = np.random.default_rng(1)
    right, d = random.random(N) < 0.8, random.exponential(1.0, N).astype(np.float32)
    table = run_table(*(random_cell("a", "deepfool", epsilon, d, right=right, norm="l2")
                        for epsilon in (0.5, 2.0)),
                      random_cell("a", "pgd", 1.0, d * 1.5, right=right, norm="l2"))
    sheet = curves_sheet(table)
    reached = np.where(right, np.minimum(d.astype(np.float64), 2.0), 0.0)
    least = number(sheet, "area_at_least", attack="deepfool")
    most = number(sheet, "area_at_most", attack="deepfool")
    assert least["value"] == most["value"] == pytest.approx(reached.mean(), rel=1e-12)
    dense = np.linspace(0, 2, 20_001)
    held = np.where(right, d, 0.0)
    under = np.trapezoid([(held > epsilon).mean() for epsilon in dense], dense)
    assert most["value"] == pytest.approx(under, abs=1e-3)
    ends = bootstrap((reached,), np.mean, method="percentile", n_resamples=2000,
                     random_state=0).confidence_interval
    assert (least["low"], most["high"]) == pytest.approx(tuple(ends), rel=0.02)
    # Between its own epsilons it is known too; of pgd, run at 1 alone, it is not.
    at_one = number(sheet, "robust_accuracy_at_most", attack="deepfool", epsilon=1.0)
    assert at_one["value"] == (held > 1.0).mean()
    assert "Measured distances" in sheet.notes[1]
    assert "deepfool" in sheet.notes[1]
    pgd = [number(sheet, f"robust_accuracy_at_{end}", attack="pgd", epsilon=0.5)["value"]
           for end in ("least", "most")]
    assert pgd == [(right & (d * 1.5 > 1.0)).mean(), right.mean()]


def test_a_float32_distance_just_above_its_epsilon_counts_as_broken_there() -> None:
    epsilon = 0.1
    d = np.full(N, np.float32(epsilon), dtype=np.float32)
    assert float(d[0]) > epsilon
    cells = [cell("a", "deepfool", size, N, norm="l2", columns={"l2": d})
             for size in (epsilon, 0.2)]
    sheet = curves_sheet(run_table(*cells))
    assert [row["value"] for row in numbers(sheet, "robust_accuracy_at_most")] == [0.0, 0.0]


def test_searches_without_a_bound_have_no_area_but_say_why() -> None:
    sheet = curves_sheet(run_table(cell("a", "jsma", math.inf, 150, norm="l0")))
    (panel,) = sheet.panels
    assert texts(panel.grid)[1] == ["a", "jsma", "100.0", "25.0 [19.5, 31.4]", "–"]
    assert "no area: every search is without a bound" in sheet.notes[-1]
    assert number(sheet, "area_at_most")["why"].startswith("no area")
    with_l1 = curves_sheet(run_table(
        cell("a", "art/elastic-net", math.inf, 150, norm="l1"), cell("a", "pgd", 5, 9, norm="l1")))
    assert "distances in l1 are not measured" in with_l1.notes[-1]


def test_groups_of_images_are_drawn_whole() -> None:
    groups = {"group_id": np.repeat([f"patient-{place}" for place in range(N // 10)], 10)
              .astype(object)}
    random = np.random.default_rng(3)
    d = np.repeat(random.exponential(0.05, N // 10), 10)
    right = np.ones(N, dtype=bool)
    wide, narrow = (
        number(curves_sheet(run_table(random_cell("a", "pgd", 0.05, d, right=right, columns=extra),
                                      random_cell("a", "pgd", 0.1, d, right=right,
                                                  columns=extra))), "area_at_most")
        for extra in (groups, {}))
    assert wide["value"] == narrow["value"]
    assert wide["high"] - wide["low"] > 1.3 * (narrow["high"] - narrow["low"])


def test_an_image_that_broke_at_a_smaller_epsilon_alone_is_broken_and_told() -> None:
    half = np.arange(N) < 100
    later = cell("a", "noise", 0.2, 0, columns={
        "success": ~half, "adversarial_prediction": (~half).astype(int)})
    sheet = curves_sheet(run_table(cell("a", "noise", 0.1, 40), later))
    assert number(sheet, "robust_accuracy_at_most", epsilon=0.2)["value"] == 0.3
    assert any(note.startswith("1 numbers lie below") for note in sheet.notes)
    nested = curves_sheet(run_table(cell("a", "noise", 0.1, 40), cell("a", "noise", 0.2, 90)))
    assert not any("lie below" in note for note in nested.notes)


def test_many_lines_stay_narrow_enough_to_read() -> None:
    made = [cell(f"model-{place}", attack, epsilon, 9 * place, recipe="pgd-at")
            for place in range(3) for attack in ("fgsm", "pgd")
            for epsilon in (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07)]
    text = render(run_table(*made), "markdown", layout="curves")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert max(map(len, lines)) <= 185
    assert len(lines) == 2 * (2 + 3 * 3)
