"""Attacks on one victim: optimality, ensembles and cost, by hand and by brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from robench.reporting.attacks_layout import attacks_sheet
from robench.scoring.redraws import one_draw
from tests.reporting.image_runs import number, numbers, random_cell
from tests.reporting.layout_runs import Made, N, cell, run_table, texts


def costly(made: Made, forwards: int, backwards: int, seconds: float) -> Made:
    record, columns, metadata = made
    spent = {"forwards": np.full(N, forwards), "backwards": np.full(N, backwards)}
    return record, {**columns, **spent}, {**metadata, "seconds": seconds}


def broken(attack: str, epsilon: float, places: range, **labels: Any) -> Made:
    success = np.isin(np.arange(N), places)
    return cell("a", attack, epsilon, 0, columns={
        "success": success, "adversarial_prediction": success.astype(int)}, **labels)


def test_tables_by_hand() -> None:
    sheet = attacks_sheet(run_table(
        costly(broken("fgsm", 0.1, range(0, 60)), 1, 1, 0.2),
        costly(broken("pgd", 0.1, range(0, 100)), 10, 10, 2.0),
        costly(broken("square", 0.1, range(90, 110)), 100, 0, 9.0),
        costly(broken("noise", 0.1, range(0, 10), flags=["unseeded"]), 3, 0, 0.1),
    ))
    optimal, cost, ensemble = sheet.panels
    assert optimal.caption.startswith("digits · white-box · L∞ · seed 0 · optimality up to ε 0.1")
    assert texts(cost.grid) == [
        ["model", "attack", "robust %", "per image forwards", "per image backwards",
         "per image ms", "front", "flags"],
        ["a", "*fgsm*", "*70.0 [63.3, 75.9]*", "*1*", "*1*", "*1*", "*both*", ""],
        ["", "*pgd*", "*50.0 [43.1, 56.9]*", "*10*", "*10*", "*10*", "*both*", ""],
        ["", "square", "90.0 [85.1, 93.4]", "100", "0", "45", "", ""],
        ["", "*noise*", "*95.0 [91.0, 97.3]*", "*3*", "*0*", "*0.5*", "*time*", "unseeded"],
    ]
    assert texts(ensemble.grid) == [
        ["model", "attack", "step", "images broken", "images of", "images left",
         "passes per image"],
        ["a", "fgsm", "1", "60", "200", "140", "2"], ["", "pgd", "2", "40", "140", "100", "20"],
        ["", "square", "3", "10", "100", "90", "100"],
    ]
    worst = next(row for row in sheet.rows if row["measure"] == "ensemble_left"
                 and row["attack"] == "square")
    assert worst["value"] == 90  # what the worst case over all four leaves
    assert number(sheet, "on_front_by_passes", attack="noise")["value"] == 0
    assert number(sheet, "on_front_by_time", attack="noise")["value"] == 1


def test_optimality_is_that_of_its_definition() -> None:
    random = np.random.default_rng(0)
    right = random.random(N) < 0.85
    reach = {"fgsm": random.exponential(0.06, N), "pgd": random.exponential(0.03, N)}
    sizes = np.array([0.01, 0.03, 0.1])
    sheet = attacks_sheet(run_table(*(
        random_cell("a", attack, epsilon, d, right=right)
        for attack, d in reach.items() for epsilon in sizes)))

    def area(d: np.ndarray) -> float:
        total = 0.0
        for one, ok in zip(d, right, strict=True):
            if ok:  # the smallest ε that broke it; the largest counts for those never broken
                total += next((epsilon for epsilon in sizes if one <= epsilon), sizes[-1])
        return total / N

    best = area(np.minimum(*reach.values()))
    for attack, d in reach.items():
        expected = 1 - (area(d) - best) / (right.mean() * sizes[-1] - best)
        assert number(sheet, "optimality", attack=attack)["value"] == pytest.approx(expected)
        assert number(sheet, "optimality_area", attack=attack)["value"] == pytest.approx(area(d))


def test_attacks_at_other_epsilons_are_not_compared() -> None:
    sheet = attacks_sheet(run_table(
        cell("a", "fgsm", 0.01, 10), cell("a", "fgsm", 0.1, 60), cell("a", "pgd", 0.1, 90),
        cell("a", "deepfool", 0.1, 50), cell("b", "fgsm", 0.01, 0), cell("b", "fgsm", 0.1, 0)))
    rows = texts(sheet.panels[0].grid)[1:]
    assert [row[3] == "–" for row in rows] == [False, True, False, True]
    assert "no ξ: the attack was not run at every ε of the table (a " in sheet.notes[-1]
    assert "no ξ: no attack broke an image at an ε below the largest (b " in sheet.notes[-1]


@pytest.mark.parametrize(
    ("budgets", "words"),
    [((None, None), "not at equal budget"), ((100, None), "not at equal budget"),
     ((100, 50), "not at equal budget"), ((100, 100), "at an equal budget of 100 passes")],
)
def test_budgets_are_told(budgets: tuple[int | None, ...], words: str) -> None:
    attacks = [{name: {} if spent is None else {"budget": spent}, "label": name}
               for name, spent in zip(("fgsm", "pgd"), budgets, strict=True)]
    sheet = attacks_sheet(run_table(
        cell("a", "fgsm", 0.1, 60), cell("a", "pgd", 0.1, 90),
        facts={"matrix": {"attacks": attacks}}))
    assert words in sheet.notes[1]


def test_one_draw_stands_beside_the_majority() -> None:
    wrong = np.random.default_rng(2).integers(0, 6, N).astype(np.int32)
    record, columns, metadata = cell("a", "pgd", 0.1, 30, right=180, flags=["stochastic"])
    drawn = record, {**columns, "draws_wrong": wrong}, {**metadata, "draws": 5}
    sheet = attacks_sheet(run_table(drawn, cell("b", "pgd", 0.1, 30)))
    cost = sheet.panels[1]
    titles, one, other = texts(cost.grid)
    assert titles[3] == "one draw %"
    right = columns["clean_correct"]
    expected = float((right * (1 - wrong / 5)).mean())
    known = number(sheet, "one_draw_accuracy")
    assert known["value"] == pytest.approx(expected)
    held = one_draw(drawn[1], draws=5)
    assert (known["low"], known["high"], known["of"]) == (held.low, held.high, "one of 5 draws")
    assert one[3].strip("*").startswith(f"{100 * expected:.1f} [")
    assert other[3].strip("*") == ""
    assert any("from 5 draws of each" in note for note in sheet.notes)


def test_a_victim_that_is_never_right_has_no_cost_but_a_reason() -> None:
    sheet = attacks_sheet(run_table(cell("a", "pgd", 0.1, 0, right=0, flags=["constant"])))
    row = texts(sheet.panels[1].grid)[1]
    assert row[3:6] == ["–", "–", "–"]
    assert row[-1] == "constant"
    assert "had no image right before it" in sheet.notes[-1]
    assert [one["why"] for one in numbers(sheet, "forwards_per_image")] == [
        "no image is right before the attack"]
