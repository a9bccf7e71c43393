"""What stands in the caption, what in the table, and how values read."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest

from robench.reporting import Failure, RunTable, text
from robench.reporting.flags import FLAGS, legend, split
from robench.reporting.grid import grid
from robench.reporting.layout import EMPTY, layout
from robench.reporting.provenance import provenance
from robench.scoring.rows import CLEAN_MISMATCH

Make = Callable[..., pd.DataFrame]


def test_constant_columns_go_to_the_caption(run_table: RunTable) -> None:
    arranged = layout(run_table)
    assert arranged.caption == (
        "digits · recipe standard · defense none · white-box · L∞ · seed 0 · 40 images"
    )
    assert arranged.labels == ("model", "pruned %", "zeros %")
    assert [block.labels for block in arranged.blocks] == [
        ("resnet18", "0", "0.0"),
        ("kwta", "30", "29.9"),
    ]
    assert [block.heading for block in arranged.blocks] == [
        "resnet18 · not pruned",
        "kwta · pruned 30 % · zeros 29.9 %",
    ]


def test_one_victim_is_described_by_the_caption_alone(make_board: Make) -> None:
    board = make_board(("vit", "pgd", 0.5, 3, {"norm": "l2", "surrogate": "resnet34"}))
    arranged = layout(RunTable(board, "name", "run"))
    assert arranged.caption == (
        "digits · vit · recipe standard · defense none · not pruned · white-box · "
        "surrogate resnet34 · L2 · seed 0 · 40 images"
    )
    assert arranged.labels == ()
    assert [column.title for column in grid(arranged).columns][:2] == ["attack", "ε"]


@pytest.mark.parametrize(
    ("setting", "values", "title"),
    [
        ("dataset", ("digits", "pathmnist"), "data set"),
        ("recipe", ("standard", "pgd-at"), "recipe"),
        ("defense", ("none", "jpeg"), "defense"),
        ("threat", ("white-box", "grey-box"), "threat"),
        ("surrogate", (None, "vit"), "surrogate"),
        ("norm", ("linf", "l2"), "norm"),
        ("seed", (0, 1), "seed"),
    ],
)
def test_what_varies_is_a_column_and_makes_blocks(
    make_board: Make, setting: str, values: tuple[object, object], title: str
) -> None:
    board = make_board(*(("vit", "pgd", 0.5, 3, {setting: value}) for value in values))
    arranged = layout(RunTable(board, "name", "run"))
    assert arranged.labels == (title,)
    assert len(arranged.blocks) == 2
    assert [line.attack for line in arranged.blocks[0].lines] == ["pgd", "worst-case"]


def test_rows_of_a_victim_stand_together_by_epsilon(make_board: Make) -> None:
    asked = [("b", 0.2), ("a", 0.2), ("b", 0.1), ("a", 0.1)]
    board = make_board(*((model, "pgd", epsilon, 1) for model, epsilon in asked))
    arranged = layout(RunTable(board, "name", "run"))
    assert [block.labels for block in arranged.blocks] == [("b",), ("a",)]
    for block in arranged.blocks:
        assert [(line.attack, line.epsilon) for line in block.lines] == [
            ("pgd", "0.1"),
            ("worst-case", "0.1"),
            ("pgd", "0.2"),
            ("worst-case", "0.2"),
        ]


def test_numbers_of_a_line(run_table: RunTable) -> None:
    line = layout(run_table).blocks[0].lines[0]
    assert (line.clean, line.clean_counts) == ("95.0", "38/40")
    assert (line.robust, line.asr, line.broken_counts) == ("82.5", "13.2", "5/38")
    assert line.robust_interval == "[68.1, 91.3]"
    assert (line.epsilon, line.distance, line.flags) == ("0.01", "0.00333", ())


def test_rates_that_do_not_exist_are_a_dash(run_table: RunTable) -> None:
    names = ["asr", "asr_low", "asr_high", "mean_distance"]
    nothing = {"n_correct": 0, **dict.fromkeys(names, math.nan)}
    rows = [{**row, **nothing} for row in run_table.rows]
    line = layout(replace(run_table, rows=rows)).blocks[0].lines[0]
    assert (line.asr, line.asr_interval, line.broken_counts) == ("–", "", "0/0")
    assert line.distance == "–"


def test_labels_stand_in_the_first_row_of_a_block_only(run_table: RunTable) -> None:
    table = grid(layout(run_table))
    assert all(len(row) == len(table.columns) for block in table.blocks for row in block)
    for block in table.blocks:
        assert all(cell.text for cell in block[0][:3])
        assert not any(cell.text for row in block[1:] for cell in row[:3])


def test_only_worst_case_rows_are_bold(run_table: RunTable) -> None:
    table = grid(layout(run_table))
    attack = [column.title for column in table.columns].index("attack")
    rows = [row for block in table.blocks for row in block]
    assert sum(row[attack].text == "worst-case" for row in rows) == 4
    for row in rows:
        assert any(cell.bold for cell in row) == (row[attack].text == "worst-case")


def test_column_of_flags_only_where_there_are_any(run_table: RunTable) -> None:
    titles = [column.title for column in grid(layout(run_table)).columns]
    assert titles[-1] == "flags"
    quiet = replace(run_table, rows=[{**row, "flags": ""} for row in run_table.rows])
    assert "flags" not in [column.title for column in grid(layout(quiet)).columns]


def test_failures_say_their_last_line(run_table: RunTable) -> None:
    assert layout(run_table).failures == (
        ("kwta | jsma | 0.01 (cdcdcdcdcdcd)", "RuntimeError: 8 < 9 & 50 %"),
    )


def test_empty_leaderboard_with_failures() -> None:
    arranged = layout(RunTable([], "name", "run", failures=(Failure("k", "l", ""),)))
    assert (arranged.caption, arranged.blocks) == (EMPTY, ())
    assert arranged.failures == (("l (k)", "no message"),)


def test_every_fact_is_optional(run_table: RunTable) -> None:
    assert dict(provenance(run_table)) == {
        "run": "20250102-abcdef",
        "matrix": "chest_pruning",
        "data set digits": (
            "train 1000, validation 200, test 40; 2 classes; duplicates: train-test 3; "
            "fingerprint f0f0f0f0f0f0"
        ),
        "versions": "python 3.12.1, torch 2.11",
        "device": "cpu",
        "wall time": "2 min 5 s",
    }
    known = provenance(replace(run_table, facts={}))
    assert known == (("run", "20250102-abcdef"), ("matrix", "chest_pruning"))
    for name in run_table.facts:
        facts = {key: value for key, value in run_table.facts.items() if key != name}
        assert provenance(replace(run_table, facts=facts))
        assert provenance(replace(run_table, facts={**facts, name: None}))


def test_flags_and_their_legend() -> None:
    assert set(FLAGS) == {
        "batch-dependent",
        "shared-images",
        "zero-gradient",
        "constant",
        CLEAN_MISMATCH,
        "below-majority",
        "stochastic",
        "unseeded",
        "bfloat16",
        "no-start",
        "non-adaptive",
        "tf32",
    }
    assert split("a,b") == ("a", "b")
    assert split("") == split(math.nan) == split(None) == ()
    assert legend(["unseeded", "new", "unseeded"]) == (
        ("new", "no meaning is on record"),
        ("unseeded", FLAGS["unseeded"]),
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (8 / 255, "8/255"),
        (0.03, "0.03"),
        (0.2, "0.2"),
        (1.0, "1"),
        (0.0, "0"),
        (2 / 255 + 1e-6, repr(2 / 255 + 1e-6)),
        (math.inf, "∞"),
    ],
)
def test_epsilon_without_its_text(value: float, expected: str) -> None:
    assert text.epsilon(value, {}) == expected


def test_epsilon_as_it_was_written() -> None:
    assert text.epsilon(0.2, {0.2: "51/255"}) == "51/255"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(8.44, "8.4 s"), (59.9, "59.9 s"), (125.4, "2 min 5 s"), (7_800.0, "2 h 10 min")],
)
def test_durations(value: float, expected: str) -> None:
    assert text.seconds(value) == expected


def test_values() -> None:
    assert text.percent(1.0) == "100.0"
    assert text.rate(0.3) == "30"
    assert text.rate(0.125) == "12.5"
    assert text.distance(1234.6) == "1235"
    assert text.norm("l7") == "l7"
    assert len(text.last_line("x" * 1000)) == 300
