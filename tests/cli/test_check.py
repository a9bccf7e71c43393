"""`robench check`: a line per check, and how it ends."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from robench.registry import Plugin, plugins
from robench.testing import Check

Robench = Callable[..., Any]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes entry points appear as those of an installed distribution."""

    def install(**targets: str) -> None:
        monkeypatch.setattr(plugins, "find", lambda: [
            Plugin("dataset", name, "theirs", "1.0", EntryPoint(name, value, "robench.datasets"))
            for name, value in targets.items()
        ])

    return install


def test_one_thing_is_checked_line_by_line(robench: Robench) -> None:
    told = robench("check", "attack/fgsm")
    assert told.code == 0, told.out
    first, *lines, last = told.out.splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 100
    lines = [line for line in lines if line[2:4].strip()]  # without what did not fit on its line
    assert first == "attack fgsm  robench"
    assert last == f"1 checked: all {len(lines)} checks passed"
    assert lines[0].split() == ["ok", "loads", "robench.attacks.fgsm:FGSM"]
    assert [line.split()[0] for line in lines].count("–") == 1


def test_a_failure_is_marked_told_and_ends_with_1(robench: Robench) -> None:
    told = robench("check", "npz")
    assert told.code == 1
    (line,) = (line for line in told.out.splitlines() if line.split()[0] == "FAIL")
    assert re.match("  FAIL  builds +raised UserError: npz: path: a path is needed, got ", line)
    assert "expected a" in told.out
    assert told.out.splitlines()[-1] == "1 checked: 1 of 3 checks failed"


def test_the_settings_that_a_card_states_for_checks_are_told(robench: Robench) -> None:
    told = robench("check", "attack/bim")
    assert told.code == 0, told.out
    assert re.search("ok +loads +robench.attacks.pgd:BIM with steps=3 *\n", told.out)


def test_with_the_defaults_they_are_left_aside(
    robench: Robench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    def nothing(made: Any, params: Any, traits: Any, *, apart: Any) -> list[Check]:
        asked.append((params, apart))
        return []

    monkeypatch.setattr("robench.testing.registered.attack_checks", nothing)
    for options in ((), ("--defaults",)):
        told = robench("check", "square", *options)
        assert ("with queries=" in told.out) == (not options)
    (stated, apart), bare = asked
    assert stated.keys() == {"queries"}
    assert apart.keys() == {"finds what is there"}
    assert bare == ({}, {})


def test_a_check_is_told_before_the_next_has_ended(
    robench: Robench, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    def slow(*checked: Any, **named: Any) -> Iterator[Check]:
        yield Check("quick", passed=True)
        events.append("slow begins")
        yield Check("slow", passed=True)

    def told_line(check: Check) -> str:
        events.append(f"{check.name} told")
        return check.name

    monkeypatch.setattr("robench.cli.check._line", told_line)
    monkeypatch.setattr("robench.testing.registered.attack_checks", slow)
    told = robench("check", "attack/fgsm")
    assert told.code == 0
    assert events == ["loads told", "quick told", "slow begins", "slow told"]


def test_a_name_of_two_kinds_is_checked_in_both(robench: Robench) -> None:
    told = robench("check", "none")
    assert told.code == 0
    headings = [line for line in told.out.splitlines() if not line.startswith(" ")]
    assert headings[:2] == ["defense none  robench", "recipe none  robench"]


def test_without_a_name_everything_of_third_parties_is_checked(
    robench: Robench, installed: Callable[..., None]
) -> None:
    installed(theirs="robench.data.digits:digits", missing="robench.data.no_such:thing")
    told = robench("check")
    assert told.code == 1
    assert "dataset theirs  theirs 1.0\n" in told.out
    assert re.search("FAIL  loads +dataset 'missing' of theirs 1.0 cannot be loaded: ", told.out)
    assert told.out.count("FAIL") == 1
    assert robench("check", "dataset/theirs").code == 0
    assert robench("check", "theirs").out == told.out


def test_without_plugins_there_is_nothing_to_say(
    robench: Robench, installed: Callable[..., None]
) -> None:
    installed()
    told = robench("check")
    assert (told.code, told.out) == (0, "no plugins are installed\n")


def test_an_unknown_name_ends_with_2(robench: Robench) -> None:
    told = robench("check", "fgms")
    assert (told.code, told.out) == (2, "")
    assert told.err == "error: unknown plugin 'fgms'\n  did you mean 'fgsm'?\n"


def test_the_command_is_there_without_torch() -> None:
    code = "import sys, robench.cli.check; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
