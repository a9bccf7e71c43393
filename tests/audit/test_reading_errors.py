"""Tables that cannot be read, and checks that a table rules out."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import robench
from robench.audit.catalogue import check_tables
from robench.audit.entrance import audit
from robench.audit.reading import read_frame
from robench.errors import UserError
from tests.audit.small import NOTHING, findings, read

CASES = [
    ("model|accuarcy\nm|50", ["no column of results", "did you mean 'accuracy'"]),
    ("a|b\n1|2", ["no column of results", "clean_accuracy"]),
    ("model|attack|accuracy\nm|pgd|", ["no number in any column"]),
    ("model|attack|accuracy\nm|pgd|high", ["row 2: accuracy: not a number", "'high'"]),
    ("model|asr\nm|40.5\nn|0.41", ["asr: percent and fractions in one column", "row 3"]),
    ("model|asr\nm|40.5%\nn|0.41", ["asr: percent and fractions in one column", "row 3"]),
    ("model|asr|unit\nm|40.5|percent\nn|0.41|", ["percent and fractions", "row 3"]),
    ("model|asr|unit\nm|40.5|fraction", ["row 2: asr: no rate", "40.5", "0 to 1"]),
    ("model|asr\nm|140.5", ["row 2: asr: no rate", "0 to 100"]),
    ("model|asr\nm|-0.1", ["row 2: asr: no rate"]),
    ("row_id|asr\nR1|4\nR1|5", ["row_id stands twice", "R1"]),
    ("asr|asr\n4|5", ["a column stands twice", "asr"]),
    ("model|attack|epsilon|asr\nm|pgd|8/0|5", ["row 2: epsilon", "'8/0'", "8/255"]),
    ("model|attack|epsilon|asr\nm|pgd|big|5", ["row 2: epsilon: not a number"]),
    ("model|n|clean_accuracy\nm|7.5|50%", ["row 2: n, got 7.5", "whole number"]),
]


@pytest.mark.parametrize(("text", "told"), CASES, ids=[case[0][:30] for case in CASES])
def test_tables_that_cannot_be_read(tmp_path: Path, text: str, told: list[str]) -> None:
    path = tmp_path / "results.csv"
    path.write_text(text.replace("|", ","), encoding="utf-8")
    with pytest.raises(UserError) as raised:
        audit(path)
    said = str(raised.value)
    assert "results.csv" in said
    assert 1 <= len(said.splitlines()) <= 2
    assert all(part in said for part in told), said


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "an empty file"), (b"\n\n", "an empty file"), (b"\xff\xfe\x00\x01", "cannot be read"),
        (b'model,asr\n"m,4\n', "cannot be read as CSV"),
        (b"model,asr\nm,4,5\n", "another number of cells"),
    ],
)
def test_files_that_are_no_csv(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "results.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=told):
        audit(path)
    with pytest.raises(UserError, match="No such file"):
        audit(tmp_path / "gone.csv")


@pytest.mark.parametrize("thing", [None, 3, ["a"], object()])
def test_what_is_no_table(thing: object) -> None:
    with pytest.raises(UserError, match="cannot be audited"):
        robench.audit(thing)


def test_checks_that_are_ruled_out_are_named() -> None:
    done = check_tables(read("model|attack|accuracy\nm|none|90%\nm|pgd|40%", NOTHING), name="t")
    missing = {one.check: one.why for one in done.unchecked}
    assert missing["A10"] == "no column settings or norm, settings or steps"
    assert missing["A4"] == "no column epsilon"
    assert missing["B1"] == "no column class counts"
    assert "A1" not in missing


def test_units_are_settled_column_by_column() -> None:
    for numbers in (("90%", "97%"), ("90", "97"), ("0.90", "0.97")):
        found = findings(f"model|attack|accuracy\nm|none|{numbers[0]}\nm|pgd|{numbers[1]}", NOTHING)
        assert [one.check for one in found] == ["A1"]
    mixed = ("table|model|attack|metric|value|unit\n1|m|none|clean_accuracy|90|percent\n"
             "1|m|pgd|adversarial_accuracy|0.97|fraction")
    assert [one.check for one in findings(mixed, NOTHING)] == ["A1"]


def test_a_data_frame_is_read_as_its_csv() -> None:
    frame = pd.DataFrame({"model": ["m", "m"], "attack": [None, "pgd"], "epsilon": [None, 0.1],
                          "accuracy": [0.9, 0.97]})
    (table,) = read_frame(frame)
    assert [(one.metric, one.value, one.epsilon) for one in table.entries] == [
        ("clean_accuracy", 0.9, None), ("adversarial_accuracy", 0.97, 0.1)]
    (found,) = robench.audit(frame).findings
    assert (found.check, found.rows) == ("A1", ("row 3", "row 2"))


@pytest.mark.parametrize("column", ["comment", "std", "Unnamed: 0"])
def test_columns_that_say_nothing_of_what_was_measured(column: str) -> None:
    values = {"comment": "abcd", "Unnamed: 0": "0123"}.get(column) or ["0.1", "0.2", "0.3", "0.3"]
    rows = ["m|none|90%", "m|pgd|97%", "n|none|90%", "n|pgd|50%"]
    text = "\n".join([f"model|attack|accuracy|{column}",
                      *(f"{row}|{value}" for row, value in zip(rows, values, strict=True))])
    (found,) = findings(text, NOTHING)
    assert (found.check, found.rows) == ("A1", ("row 3", "row 2"))


def test_columns_that_tell_victims_apart() -> None:
    rows = ["m|plain|none|90%", "m|plain|pgd|10%", "m|at|none|80%", "m|at|pgd|85%"]
    (found,) = findings("\n".join(["model|training|attack|accuracy", *rows]), NOTHING)
    assert (found.check, found.rows) == ("A1", ("row 5", "row 4"))
    assert "training at" in found.message


def test_printed_digits_are_kept() -> None:
    (table,) = read("model|clean_accuracy|asr\nm|72.9%|0.40\nn|80%|0.4")
    halves = [one.half for one in table.entries]
    assert halves == pytest.approx([0.0005, 0.005, 0.005, 0.05])
    assert [one.shown for one in table.entries] == ["72.9 %", "0.40", "80 %", "0.4"]


def test_a_leaderboard_with_its_run(tmp_path: Path) -> None:
    """Class counts come from the `run.json` beside a leaderboard; without it they are missing."""
    header = "dataset,model,attack,norm,epsilon,n,n_correct,clean_accuracy,robust_accuracy,asr"
    (tmp_path / "leaderboard.csv").write_text(
        f"{header}\nd,m,pgd,linf,0.01,100,60,0.6,0.5900000,0.01666667\n", encoding="utf-8")
    alone = audit(tmp_path / "leaderboard.csv")
    assert alone.findings == ()
    assert "B1" in [one.check for one in alone.unchecked]
    record = ('{"matrix": {"attacks": [{"pgd": {"steps": 10}, "label": "pgd"}]}, '
              '"datasets": {"d": {"class_counts": {"test": [60, 40]}, "classes": ["a", "b"]}}}')
    (tmp_path / "run.json").write_text(record, encoding="utf-8")
    beside = audit(tmp_path / "leaderboard.csv")
    assert [one.check for one in beside.findings] == ["B1"]
    (tmp_path / "run.json").write_text("[]", encoding="utf-8")
    assert audit(tmp_path / "leaderboard.csv").findings == ()


def test_the_collapsed_network_of_the_chest_report() -> None:
    path = Path(__file__).parents[2] / "reports" / "chest" / "leaderboard.csv"
    if not path.is_file():
        pytest.skip("no reports beside an installed robench")
    said = [one.message for one in audit(path).findings if one.check == "B1"]
    assert any("resnet18, pruned 70 %" in one and "recipe pgd-at" in one and "408/624" in one
               for one in said)
    assert not any("recipe standard" in one for one in said)
