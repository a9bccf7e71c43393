"""Checks: how one is run, what it says, and what makes a conformant thing."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from robench.errors import UserError

Subject = TypeVar("Subject")


@dataclass(frozen=True)
class Check:
    """One check of one thing.

    `message` says what was got, and for a failure what was expected or which exception was
    raised. With `applies` False the check asks for something this thing does not promise; it
    has then passed.
    """

    name: str
    passed: bool
    message: str = ""
    applies: bool = True


class Violation(Exception):  # noqa: N818 (what a check finds is no error of the check)
    """What a check found; its text is the check's message."""


class NotApplicable(Exception):  # noqa: N818
    """Why a check does not apply."""


def expect(fits: bool, got: str, expected: str) -> None:
    """Raise the Violation that says both, unless it `fits`."""
    if not fits:
        raise Violation(f"got {got}, expected {expected}")


def attempt(name: str, check: Callable[[], str]) -> Check:
    """Run one check: the message it returns, or why it failed."""
    try:
        return Check(name, passed=True, message=check())
    except NotApplicable as reason:
        return Check(name, passed=True, message=str(reason), applies=False)
    except Violation as found:
        return Check(name, passed=False, message=str(found))
    except Exception as error:  # a third party's code may raise anything
        return Check(name, passed=False, message=f"raised {told(error)}")


def run(checks: Mapping[str, Callable[[Subject], str]], subject: Subject) -> Iterator[Check]:
    """Every check of a table on one subject, in the table's order, each as it ends."""
    for name, check in checks.items():
        yield attempt(name, partial(check, subject))


def run_first(
    checks: Mapping[str, Callable[[], str]], *, harmless: Iterable[str] = ()
) -> Generator[Check, None, bool]:
    """Checks that the others stand on, each as it ends: none is run after one that failed, but
    the `harmless`.

    Returns whether the others can be run.
    """
    for name, check in checks.items():
        done = attempt(name, check)
        yield done
        if not done.passed and name not in harmless:
            return False
    return True


def assert_conformant(checks: Iterable[Check]) -> None:
    """Raise the AssertionError that lists the checks which failed, if any did."""
    failed = [check for check in checks if not check.passed]
    if failed:
        lines = "".join(f"\n  {check.name}: {check.message}" for check in failed)
        raise AssertionError(f"{len(failed)} checks failed:{lines}")


def told(error: BaseException) -> str:
    """An exception in one line, with the line of code that raised it."""
    text = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
    if isinstance(error, UserError):
        return f"{type(error).__name__}: {text}"
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text}{place}"
