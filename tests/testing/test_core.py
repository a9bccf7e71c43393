"""How checks are run and told."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from robench.errors import UserError
from robench.testing import Check, assert_conformant
from robench.testing.core import NotApplicable, Violation, attempt, expect, run, run_first


def _raises(error: BaseException) -> str:
    raise error


def test_a_check_that_returns_has_passed() -> None:
    assert attempt("size", lambda: "8×8") == Check("size", True, "8×8")


def test_a_violation_is_the_message() -> None:
    found = attempt("size", lambda: _raises(Violation("got 1, expected 2")))
    assert found == Check("size", False, "got 1, expected 2")


def test_what_does_not_apply_has_passed_with_its_reason() -> None:
    found = attempt("size", lambda: _raises(NotApplicable("it has none")))
    assert found == Check("size", True, "it has none", applies=False)


def test_an_exception_is_told_with_its_type_text_and_line() -> None:
    found = attempt("size", lambda: _raises(IndexError("out of\n range")))
    assert not found.passed
    assert found.message.startswith("raised IndexError: out of; range (test_core.py:")


def test_a_user_error_is_told_in_one_line() -> None:
    error = UserError("quality", got=0, expected="1 to 100")
    assert attempt("x", lambda: _raises(error)).message == (
        "raised UserError: quality, got 0; expected 1 to 100"
    )


def test_an_interrupt_is_no_failed_check() -> None:
    with pytest.raises(KeyboardInterrupt):
        attempt("size", lambda: _raises(KeyboardInterrupt()))


def test_expect_says_both_sides() -> None:
    expect(True, "1", "1")
    with pytest.raises(Violation, match="got 1, expected 2"):
        expect(False, "1", "2")


def test_a_table_is_run_in_its_order_whatever_fails() -> None:
    table = {"one": lambda n: str(n), "two": lambda n: str(1 / n), "three": lambda n: "last"}
    assert [(check.name, check.passed) for check in run(table, 0)] == [
        ("one", True), ("two", False), ("three", True),
    ]


def test_checks_are_given_one_by_one_as_they_end() -> None:
    begun: list[str] = []
    table = {name: lambda n, name=name: begun.append(name) or str(n) for name in ("one", "two")}
    checks = run(table, 0)
    assert next(checks).name == "one"
    assert begun == ["one"]


def ended(checks: Generator[Check, None, bool]) -> tuple[list[str], bool]:
    """The names of what was checked, and what the generator returned."""
    names = []
    while True:
        try:
            names.append(next(checks).name)
        except StopIteration as end:
            return names, end.value


def test_first_checks_stop_at_the_first_failure_unless_it_is_harmless() -> None:
    table = {"a": lambda: _raises(Violation("")), "b": lambda: _raises(Violation("")),
             "c": lambda: "never"}
    assert ended(run_first(table, harmless=("a",))) == (["a", "b"], False)
    assert ended(run_first({"a": table["a"]}, harmless=("a",))) == (["a"], True)


def test_assert_conformant_names_what_failed_and_nothing_else() -> None:
    good, bad = Check("good", True, "fine"), Check("bad", False, "got 1, expected 2")
    assert_conformant([good])
    with pytest.raises(AssertionError, match="bad: got 1, expected 2") as caught:
        assert_conformant([good, bad])
    assert "fine" not in str(caught.value)
