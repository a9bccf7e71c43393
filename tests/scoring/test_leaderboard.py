"""The rows of a leaderboard: what is counted, over which images, in which order."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from robench.outcomes import validate
from robench.scoring.leaderboard import DTYPES, leaderboard, rows_equal
from robench.scoring.rows import COLUMNS

DESIGN = (
    "dataset, model, recipe, defense, pruning_rate, sparsity, threat, surrogate, attack, norm, "
    "epsilon, seed, n, n_correct, clean_accuracy, robust_accuracy, robust_accuracy_low, "
    "robust_accuracy_high, asr, asr_low, asr_high, mean_distance, forwards, backwards, seconds, "
    "flags"
)
Make = Callable[..., Any]


def test_columns_are_those_of_the_design() -> None:
    assert ", ".join(COLUMNS) == DESIGN


def test_row_of_a_cell_by_hand(make_cell: Make) -> None:
    cell = make_cell(
        [True, True, True, True, False],
        [True, False, True, False, False],
        distance=[0.25, 0.125, 0.5, 0.0, 0.0],
        flags=["unseeded", "constant"],
        seconds=3.5,
        sparsity=0.299,
        pruning_rate=0.3,
    )
    validate(cell[1])
    row = leaderboard([cell]).iloc[0].to_dict()
    assert (row["n"], row["n_correct"]) == (5, 4)
    assert row["clean_accuracy"] == 4 / 5
    assert row["robust_accuracy"] == 2 / 5
    assert row["asr"] == 2 / 4
    interval = proportion_confint(2, 5, method="wilson")
    assert (row["robust_accuracy_low"], row["robust_accuracy_high"]) == pytest.approx(interval)
    interval = proportion_confint(2, 4, method="wilson")
    assert (row["asr_low"], row["asr_high"]) == pytest.approx(interval)
    assert row["mean_distance"] == (0.25 + 0.5) / 2
    assert row["forwards"] == np.mean([10, 11, 12, 13])
    assert row["backwards"] == 10
    assert (row["seconds"], row["sparsity"], row["pruning_rate"]) == (3.5, 0.299, 0.3)
    assert row["flags"] == "constant,unseeded"
    assert pd.isna(row["surrogate"])


@pytest.mark.parametrize(("norm", "expected"), [("linf", 0.25), ("l2", 2.5), ("l0", 250.0)])
def test_distance_is_in_the_norm_of_the_row(make_cell: Make, norm: str, expected: float) -> None:
    row = leaderboard([make_cell([True], [True], distance=[0.25], norm=norm)]).iloc[0]
    assert row["mean_distance"] == expected


def test_distance_that_is_not_measured_is_missing(make_cell: Make) -> None:
    table = leaderboard([make_cell([True], [True], norm="l1")])
    assert table["mean_distance"].isna().all()
    assert (table["asr"] == 1).all()


def test_victim_that_is_never_right(make_cell: Make) -> None:
    table = leaderboard([make_cell([False, False], [False, False])])
    for column in ("asr", "asr_low", "asr_high", "mean_distance", "forwards", "backwards"):
        assert table[column].isna().all(), column
    assert table["robust_accuracy"].tolist() == [0.0, 0.0]
    assert table["clean_accuracy"].tolist() == [0.0, 0.0]


def test_cell_without_images(make_cell: Make) -> None:
    row = leaderboard([make_cell([], [])]).iloc[0]
    assert row["n"] == 0
    assert math.isnan(row["clean_accuracy"])
    assert math.isnan(row["robust_accuracy"])


def test_worst_case_follows_the_last_cell_of_its_group(make_cell: Make) -> None:
    asked = [("fgsm", 0.1), ("fgsm", 0.2), ("pgd", 0.1), ("pgd", 0.2), ("bim", 0.2)]
    table = leaderboard([make_cell([True], [False], attack=a, epsilon=e) for a, e in asked])
    assert list(zip(table["attack"], table["epsilon"], strict=True)) == [
        ("fgsm", 0.1),
        ("fgsm", 0.2),
        ("pgd", 0.1),
        ("worst-case", 0.1),
        ("pgd", 0.2),
        ("bim", 0.2),
        ("worst-case", 0.2),
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"dataset": "pathmnist"},
        {"model": "vit"},
        {"recipe": "pgd-at"},
        {"defense": "jpeg"},
        {"pruning_rate": 0.3},
        {"norm": "l2"},
        {"epsilon": 0.2},
        {"threat": "grey-box"},
        {"surrogate": "resnet34"},
        {"seed": 1},
    ],
)
def test_what_makes_another_group(make_cell: Make, other: dict[str, Any]) -> None:
    table = leaderboard([make_cell([True], [True]), make_cell([True], [False], **other)])
    assert table["attack"].tolist() == ["fgsm", "worst-case"] * 2
    assert table["robust_accuracy"].tolist() == [0.0, 0.0, 1.0, 1.0]


def test_columns_have_the_same_types_in_every_table(make_cell: Make) -> None:
    full = leaderboard([make_cell([True], [True], surrogate="vit")])
    for table in (leaderboard([]), leaderboard([make_cell([], [])]), full):
        assert list(table.columns) == list(COLUMNS)
        assert table.dtypes.to_dict() == dict(DTYPES)


def test_cells_may_come_from_a_generator(make_cell: Make) -> None:
    cells = [make_cell([True, False], [True, False], attack=name) for name in ("fgsm", "pgd")]
    assert rows_equal(leaderboard(cell for cell in cells), leaderboard(cells))


def test_rows_equal_ignores_seconds_only(make_cell: Make) -> None:
    def table(**settings: Any) -> pd.DataFrame:
        return leaderboard([make_cell([True, False], [True, False], **settings)])

    assert rows_equal(table(), table(seconds=99.0))
    assert rows_equal(table(), table().set_axis([7, 8], axis=0))
    assert rows_equal(table(), table().astype({"surrogate": object, "n": "int32"}))
    assert not rows_equal(table(), table(flags=["constant"]))
    assert not rows_equal(table(), table(surrogate="vit"))
    assert not rows_equal(table(), table(epsilon=np.nextafter(0.1, 1)))
    assert not rows_equal(table(), table().iloc[:1])
    assert not rows_equal(table(), table().drop(columns="n"))
    assert rows_equal(leaderboard([]), leaderboard([]))
