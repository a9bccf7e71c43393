"""What clinics ask for: against scikit-learn, by loops, and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from robench.reporting.medical_layout import medical_sheet
from robench.reporting.medical_scores import worst_images
from robench.scoring.rows import WORST_CASE
from tests.reporting.image_runs import number, numbers, random_cell
from tests.reporting.layout_runs import Made, N, cell, run_table, texts


def facts(*classes: str) -> dict[str, object]:
    return {"datasets": {"digits": {"classes": list(classes)}}}


def drawn(seed: int, classes: int = 2) -> tuple[Any, dict[str, Any], list[Made]]:
    random = np.random.default_rng(seed)
    right = random.random(N) < 0.85
    reach = {"fgsm": random.exponential(0.1, N), "pgd": random.exponential(0.05, N)}
    cells = [random_cell("a", attack, 0.05, d, right=right, classes=classes)
             for attack, d in reach.items()]
    return right, reach, cells


def test_two_classes_by_scikit_learn() -> None:
    _, _, cells = drawn(0)
    sheet = medical_sheet(run_table(*cells, facts=facts("normal", "pneumonia")))
    for attack, when, made in [("clean", "clean", cells[0]), ("fgsm", "adversarial", cells[0]),
                               ("pgd", "adversarial", cells[1])]:
        columns = made[1]
        truth, said = columns["label"], columns[f"{when}_prediction"]
        margin = columns[f"{when}_margin"]
        one = {"attack": attack, "of": "pneumonia"}
        for measure, expected in (
            ("sensitivity", metrics.recall_score(truth, said)),
            ("specificity", metrics.recall_score(truth, said, pos_label=0)),
            ("precision", metrics.precision_score(truth, said)),
            ("f1", metrics.f1_score(truth, said)),
            ("auroc", metrics.roc_auc_score(truth, np.where(truth == 1, margin, -margin))),
        ):
            assert number(sheet, measure, **one)["value"] == pytest.approx(expected), measure
        assert number(sheet, "accuracy", attack=attack)["value"] == pytest.approx(
            metrics.accuracy_score(truth, said))
    scores, by_class, confusion = sheet.panels
    assert [row[1] for row in texts(scores.grid)[1:]] == ["clean", "fgsm", "pgd", "*worst-case*"]
    assert [row[1] for row in texts(by_class.grid)[1:]] == ["fgsm", "pgd", "*worst-case*"]
    assert texts(confusion.grid)[0][-2:] == ["broken of normal", "broken of pneumonia"]
    assert any("equal costs" in note for note in sheet.notes)
    assert any("count as independent" in note for note in sheet.notes)


def test_three_classes_macro_per_class_and_confusions() -> None:
    _, _, cells = drawn(1, classes=3)
    names = ("normal", "bacterial", "viral")
    sheet = medical_sheet(run_table(*cells, facts=facts(*names)))
    columns = cells[1][1]
    truth, said = columns["label"], columns["adversarial_prediction"]
    found = metrics.precision_recall_fscore_support(truth, said, average="macro", zero_division=0)
    for measure, expected in zip(("precision", "sensitivity", "f1"), found, strict=False):
        assert number(sheet, measure, attack="pgd", of="macro")["value"] == pytest.approx(expected)
    for y, name in enumerate(names):
        robust = columns["clean_correct"] & ~columns["success"]
        rate = number(sheet, "robust_accuracy_of_class", attack="pgd", of=name)
        assert rate["value"] == pytest.approx(robust[truth == y].mean())
        for other, into in enumerate(names):
            if other != y:
                turned = sum(1 for b, t, s in zip(columns["success"], truth, said, strict=True)
                             if b and t == y and s == other)
                assert number(sheet, "turned_into", attack="pgd",
                              of=f"{name} → {into}")["value"] == turned
    assert "AUROC needs two classes" in sheet.notes[-1]
    assert len(sheet.panels) == 4
    titles, clean, *_ = texts(sheet.panels[3].grid)
    assert titles[-3:] == [f"in % of {name}" for name in names]
    assert clean[-1].count(" / ") == 3


@pytest.mark.parametrize("seed", range(5))
def test_the_worst_case_is_the_smallest_margin_among_what_broke_an_image(seed: int) -> None:
    right, _, cells = drawn(seed, classes=3)
    columns = [made[1] for made in cells]
    random = np.random.default_rng(seed)
    for one in columns:  # margins that differ between the attacks, of the right sign
        size = random.random(N) + 0.1
        one["adversarial_margin"] = np.where(one["success"] | ~right, -size, size)
    shuffled = random.permutation(N)
    worst: Any = worst_images([columns[0], {name: values[shuffled]
                                       for name, values in columns[1].items()}])
    for place in range(N):
        broke = [one for one in columns if one["success"][place]]
        chosen = min(broke or columns, key=lambda one: one["adversarial_margin"][place])
        assert worst["adversarial_margin"][place] == chosen["adversarial_margin"][place]
        assert worst["adversarial_prediction"][place] == chosen["adversarial_prediction"][place]
        assert worst["success"][place] == bool(broke)
    table = run_table(*cells, facts=facts("a", "b", "c"))
    row = next(row for row in table.rows if row["attack"] == WORST_CASE)
    known = number(medical_sheet(table), "accuracy", attack=WORST_CASE)
    assert known["value"] == pytest.approx(row["robust_accuracy"])


def test_groups_get_an_interval_of_their_own() -> None:
    right, reach, _ = drawn(3)
    groups = np.repeat([f"patient-{place}" for place in range(N // 5)], 5).astype(object)
    right = np.repeat(right[::5], 5)
    made = random_cell("a", "pgd", 0.05, reach["pgd"], right=right, columns={"group_id": groups})
    sheet = medical_sheet(run_table(made, facts=facts("normal", "ill")))
    titles, clean, *_ = texts(sheet.panels[0].grid)
    assert titles[4] == "by group"
    known = number(sheet, "accuracy_by_group", attack="clean")
    p = right.mean()
    # Whole patients are right or wrong: as many independent images as there are patients.
    variance = sum((5 * (group - p)) ** 2 for group in right[::5]) / N**2
    assert variance == pytest.approx(p * (1 - p) / (N / 5))
    wilson = number(sheet, "accuracy", attack="clean")
    assert known["low"] < wilson["low"] <= p <= wilson["high"] < known["high"]
    assert clean[4] == f"[{100 * known['low']:.1f}, {100 * known['high']:.1f}]"
    assert any(note.startswith("By group") for note in sheet.notes)


def test_costs_that_are_given() -> None:
    _, _, cells = drawn(4)
    table = run_table(*cells, facts=facts("normal", "ill"))
    asr = {row["attack"]: row["asr"] for row in table.rows}
    plain = medical_sheet(table)
    for attack in ("fgsm", "pgd", WORST_CASE):
        assert number(plain, "risk_weighted_asr", attack=attack)["value"] == pytest.approx(
            asr[attack])
    weighted = medical_sheet(table, costs={"digits": [[0, 1], [4, 0]]})
    columns = cells[1][1]
    harm = sum((4 if label else 1) for label, broken in zip(
        columns["label"], columns["success"], strict=True) if broken)
    assert number(weighted, "risk_weighted_asr", attack="pgd")["value"] == pytest.approx(
        harm / (4 * columns["clean_correct"].sum()))
    assert not any("equal costs" in note for note in weighted.notes)


def test_flags_of_an_attack_stand_on_its_lines_and_the_worst_case() -> None:
    sheet = medical_sheet(run_table(
        cell("a", "fgsm", 0.1, 20, flags=["zero-gradient", "stochastic"]),
        cell("a", "pgd", 0.1, 30, flags=["stochastic"]), facts=facts("normal", "ill")))
    for panel in sheet.panels:
        rows = {row[1].strip("*"): row[-1] for row in texts(panel.grid)[1:]}
        assert rows["fgsm"] == rows["worst-case"] == "stochastic, zero-gradient"
        assert rows["pgd"] == "stochastic"
        assert rows.get("clean", "stochastic") == "stochastic"
    assert {row["flags"] for row in numbers(sheet, "accuracy", attack="fgsm")} == {
        "stochastic,zero-gradient"}


def test_a_class_without_images_is_a_dash_that_is_explained() -> None:
    sheet = medical_sheet(run_table(cell("a", "pgd", 0.1, 30), facts=facts("normal", "ill")))
    assert texts(sheet.panels[1].grid)[1][-1] == "–"
    assert number(sheet, "robust_accuracy_of_class", of="ill")["why"] == "no image of the class"
    assert "AUROC needs images of both classes, got only 'normal'" in sheet.notes[-1]
