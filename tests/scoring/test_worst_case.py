"""The per-image worst over attacks, against its definition written as plain loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.scoring.leaderboard import leaderboard

Make = Callable[..., Any]

ATTACKS = st.integers(1, 4)
IMAGES = st.integers(1, 15)


def split(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The rows of the attacks, and the one worst-case row."""
    worst = table[table["attack"] == "worst-case"]
    assert len(worst) == 1
    return table[table["attack"] != "worst-case"], worst.iloc[0].to_dict()


def test_worst_case_by_hand(make_cell: Make) -> None:
    right = [True, True, True, False]
    cells = [
        make_cell(
            right,
            [True, False, False, False],
            distance=[0.5, 0.0, 0.0, 0.0],
            attack="fgsm",
            seconds=1.0,
            flags=["unseeded"],
            passes=1,
        ),
        make_cell(
            right,
            [True, True, False, False],
            distance=[0.25, 1.0, 0.0, 0.0],
            attack="pgd",
            seconds=2.0,
            flags=["constant"],
            passes=100,
        ),
    ]
    _, worst = split(leaderboard(cells))
    assert worst["robust_accuracy"] == 1 / 4
    assert worst["asr"] == 2 / 3
    assert worst["mean_distance"] == (0.25 + 1.0) / 2
    assert worst["backwards"] == 101
    assert worst["forwards"] == np.mean([101, 103, 105])
    assert worst["seconds"] == 3.0
    assert worst["flags"] == "constant,unseeded"


def test_worst_case_is_not_the_minimum_of_the_rows(make_cell: Make) -> None:
    right = [True, True]
    cells = [
        make_cell(right, [True, False], attack="fgsm"),
        make_cell(right, [False, True], attack="pgd"),
    ]
    rows, worst = split(leaderboard(cells))
    assert rows["robust_accuracy"].min() == 0.5
    assert worst["robust_accuracy"] == 0.0


def test_images_are_matched_by_id(make_cell: Make) -> None:
    ids = ["a", "b", "c"]
    cells = [
        make_cell([True, True, False], [True, False, False], attack="fgsm", image_ids=ids),
        make_cell([False, True, True], [False, False, True], attack="pgd", image_ids=ids[::-1]),
    ]
    rows, worst = split(leaderboard(cells))
    assert rows["robust_accuracy"].tolist() == [1 / 3, 1 / 3]
    assert worst["robust_accuracy"] == 1 / 3
    assert worst["flags"] == ""


def test_one_attack_alone_is_its_own_worst_case(make_cell: Make) -> None:
    rows, worst = split(leaderboard([make_cell([True, False, True], [True, False, False])]))
    own = rows.iloc[0].to_dict()
    for name in own.keys() - {"attack", "surrogate"}:
        assert own[name] == worst[name], name


def test_clean_passes_that_contradict_each_other_are_flagged(make_cell: Make) -> None:
    cells = [
        make_cell([True, True, True], [False, False, False], attack="fgsm", flags=["unseeded"]),
        make_cell([True, True, False], [True, False, False], attack="pgd"),
    ]
    rows, worst = split(leaderboard(cells))
    assert worst["flags"] == "clean-mismatch,unseeded"
    assert rows["flags"].tolist() == ["unseeded", ""]
    assert (worst["n_correct"], worst["robust_accuracy"]) == (2, 1 / 3)


def test_other_wrong_prediction_is_a_contradiction_too(make_cell: Make) -> None:
    one = make_cell([True, False], [True, False], attack="fgsm")
    other = make_cell([True, False], [True, False], attack="pgd")
    other[1]["clean_prediction"] = [0, 2]
    _, worst = split(leaderboard([one, other]))
    assert worst["flags"] == "clean-mismatch"


def draw_cells(data: st.DataObject, make_cell: Make, *, same_clean: bool) -> list[Any]:
    n = data.draw(IMAGES)
    bools = st.lists(st.booleans(), min_size=n, max_size=n)
    grid = st.lists(st.integers(0, 8).map(lambda k: k / 8), min_size=n, max_size=n)
    right = data.draw(bools)
    cells = []
    for place in range(data.draw(ATTACKS)):
        order = data.draw(st.permutations(range(n)))
        clean = right if same_clean else data.draw(bools)
        record, frame, metadata = make_cell(
            clean, data.draw(bools), distance=data.draw(grid), attack=f"attack-{place}"
        )
        cells.append((record, frame.iloc[list(order)], metadata))
    return cells


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_worst_case_is_its_definition(make_cell: Make, data: st.DataObject) -> None:
    cells = draw_cells(data, make_cell, same_clean=True)
    rows, worst = split(leaderboard(cells))
    by_id = [frame.set_index("image_id") for _, frame, _ in cells]
    robust, distances = 0, []
    for image in by_id[0].index:
        reached = [float(f["linf"][image]) for f in by_id if f["success"][image]]
        robust += bool(by_id[0]["clean_correct"][image]) and not reached
        distances += [min(reached)] if reached else []
    assert worst["robust_accuracy"] == robust / len(by_id[0])
    assert worst["mean_distance"] == pytest.approx(
        sum(distances) / len(distances) if distances else np.nan, nan_ok=True
    )
    assert worst["forwards"] == pytest.approx(rows["forwards"].sum(min_count=1), nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), same_clean=st.booleans())
def test_counts_fit_together(make_cell: Make, data: st.DataObject, same_clean: bool) -> None:
    cells = draw_cells(data, make_cell, same_clean=same_clean)
    table = leaderboard(cells)
    rows, worst = split(table)
    assert (worst["robust_accuracy"] <= rows["robust_accuracy"]).all()
    successes = [int(frame["success"].sum()) for _, frame, _ in cells]
    for row, expected in zip(rows.itertuples(), successes, strict=True):
        if row.n_correct:
            assert round(row.asr * row.n_correct) == expected
            assert row.asr == expected / row.n_correct
    for row in table.itertuples():
        broken = round(row.asr * row.n_correct) if row.n_correct else 0
        assert row.robust_accuracy == (row.n_correct - broken) / row.n
        assert row.robust_accuracy_low <= row.robust_accuracy <= row.robust_accuracy_high
        if row.n_correct:
            assert row.asr_low <= row.asr <= row.asr_high
            assert row.robust_accuracy == pytest.approx(row.clean_accuracy * (1 - row.asr))
