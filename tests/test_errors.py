"""Errors a person can act on: their one or two lines, and the nearest name."""

from __future__ import annotations

import pytest

from robench.errors import (
    Missing,
    MissingDataError,
    StoreError,
    UserError,
    VictimError,
    nearest,
    unknown,
)

NAMES = ["fgsm", "pgd", "bim", "noise"]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UserError("it broke"), "it broke"),
        (UserError("it broke", where="m.yaml:3 attacks"), "m.yaml:3 attacks: it broke"),
        (UserError("seed", got=-1), "seed, got -1"),
        (UserError("seed", got=None), "seed, got None"),
        (UserError("seed", got="1"), "seed, got '1'"),
        (UserError("seed", expected="a number"), "seed\n  expected a number"),
        (UserError("no x", nearest="y"), "no x\n  did you mean 'y'?"),
        (
            UserError("seed", where="m", got=-1, expected="a number", nearest="1"),
            "m: seed, got -1\n  expected a number; did you mean '1'?",
        ),
    ],
)
def test_what_is_told(error: UserError, told: str) -> None:
    assert str(error) == told


def test_two_lines_whatever_goes_in() -> None:
    error = UserError(
        "one\ntwo\r\n  three", where="a\nb", got="c\nd", expected="e\nf", nearest="g\nh"
    )
    assert str(error) == "a b: one two three, got 'c\\nd'\n  expected e f; did you mean 'g h'?"


def test_a_long_value_is_cut() -> None:
    told = str(UserError("unfit", got=list(range(1000))))
    assert len(told) < 150
    assert told.endswith("…")
    assert str(UserError("unfit", got="x" * 118)).endswith("x'")


def test_a_place_is_put_before_a_known_one() -> None:
    error = UserError("no", where="inner", got=0, expected="yes", nearest="maybe").at("outer")
    assert str(error) == "outer: inner: no, got 0\n  expected yes; did you mean 'maybe'?"
    assert str(UserError("no").at("outer")) == "outer: no"


@pytest.mark.parametrize("kind", [UserError, StoreError, VictimError])
def test_a_placed_error_stays_of_its_kind(kind: type[UserError]) -> None:
    assert type(kind("no").at("there")) is kind
    assert issubclass(kind, UserError)


@pytest.mark.parametrize(
    ("name", "close"), [("fgms", "fgsm"), ("PGD", None), ("nois", "noise"), ("qqqq", None)]
)
def test_nearest(name: str, close: str | None) -> None:
    assert nearest(name, NAMES) == close


def test_nearest_of_none_and_of_what_is_no_word() -> None:
    assert nearest("pgd", []) is None
    assert nearest(12, ["123"]) == "123"  # type: ignore[arg-type]


def test_unknown_names_the_nearest_or_all() -> None:
    assert str(unknown("attack", "pgdd", NAMES, where="m:1")) == (
        "m:1: unknown attack 'pgdd'\n  did you mean 'pgd'?"
    )
    assert str(unknown("attack", "zzz", NAMES)).endswith("expected one of bim, fgsm, noise, pgd")
    many = str(unknown("attack", "zzz", [f"a{index:02}" for index in range(40)]))
    assert many.endswith("a11 …")
    assert "nothing is known" in str(unknown("attack", "zzz", []))


LOST = Missing("a", "data set 'a' is not found", "page a", "a/*.png")
OTHER = Missing("b", "data set 'b' is not found", "page b", "b/*.png")


def test_missing_data_are_told_in_three_lines_each() -> None:
    error = MissingDataError(LOST, OTHER, expected="them").at("m.yaml:3")
    assert isinstance(error, UserError)
    assert str(error) == (
        "m.yaml:3: data set 'a' is not found\n  get: page a\n  layout: a/*.png\n"
        "m.yaml:3: data set 'b' is not found\n  get: page b\n  layout: b/*.png\nexpected them"
    )
    assert str(error.at("outer")).startswith("outer: m.yaml:3: data set 'a'")


def test_what_several_errors_miss_is_told_once() -> None:
    errors = [MissingDataError(LOST).at("one"), MissingDataError(LOST, OTHER).at("two")]
    together = MissingDataError.together(errors, expected="all")
    assert [each.name for each in together.missing] == ["a", "b"]
    assert [each.where for each in together.missing] == ["one", "two"]
    assert str(together).endswith("expected all")
