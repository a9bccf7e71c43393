"""The leaderboard on a terminal: no number is ever wrapped or cut."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from robench.reporting import RunTable
from robench.reporting.layout import layout
from robench.reporting.screen import screen_table
from robench.scoring.rows import Row


def shown(table: RunTable, width: int) -> list[str]:
    console = Console(width=width, record=True, file=io.StringIO())
    for part in screen_table(table, width=width):
        console.print(part)
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_at_100_columns_everything_is_there(run_table: RunTable) -> None:
    lines = shown(run_table, 100)
    for block in layout(run_table).blocks:
        assert block.heading in lines
        for line in block.lines:
            numbers = [line.attack, line.epsilon, line.clean, line.robust, line.robust_interval]
            numbers += [line.asr, line.asr_interval, line.broken_counts, line.distance]
            assert any(all(number in row for number in numbers) for row in lines), numbers
    assert max(map(len, lines)) <= 100
    assert any("[low, high]" in line for line in lines)


def test_numbers_stand_below_each_other(run_table: RunTable) -> None:
    rows = [line for line in shown(run_table, 100) if "/38" in line]
    assert len(rows) == len(run_table.rows)
    assert len({row.index("/38") for row in rows}) == 1


@pytest.mark.parametrize("width", [60, 72, 80, 90, 100, 160])
def test_main_numbers_are_whole_at_any_width(run_table: RunTable, width: int) -> None:
    lines = shown(run_table, width)
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
    for line in (line for block in layout(run_table).blocks for line in block.lines):
        numbers = (line.attack, line.epsilon, line.clean, line.robust, line.asr, line.broken_counts)
        assert any(all(number in row for number in numbers) for row in lines)


def test_what_is_left_out_first(run_table: RunTable) -> None:
    def counted(width: int) -> tuple[int, int]:
        header = next(line for line in shown(run_table, width) if line.startswith("attack"))
        return header.count("[low, high]"), header.count("distance")

    assert [counted(width) for width in (100, 85, 75, 60)] == [(2, 1), (1, 1), (1, 0), (0, 0)]


def test_long_attack_name_wraps_and_its_numbers_do_not(
    make_board: Callable[..., list[Row]],
) -> None:
    name = "art/a-very-long-name-for-an-attack-of-this-kind"
    board = make_board(("vit", name, 8 / 255, 38), ("vit", "pgd", 8 / 255, 38))
    lines = shown(RunTable(board, "name", "run"), 100)
    start = next(place for place, line in enumerate(lines) if line.startswith("art/"))
    first, *numbers = lines[start].split()
    assert (first + "".join(lines[start + 1 :])).startswith(name)
    pgd = next(line for line in lines if line.startswith("pgd"))
    assert numbers == pgd.split()[1:]


def test_flags_are_marked_and_explained(run_table: RunTable) -> None:
    lines = shown(run_table, 100)
    assert sum(line.endswith(" a") for line in lines) == 4
    assert any(line.startswith("a  zero-gradient: the gradient is zero") for line in lines)
    quiet = replace(run_table, rows=[{**row, "flags": ""} for row in run_table.rows])
    assert not any("flag" in line for line in shown(quiet, 100))


def test_failures_and_names_are_not_read_as_markup(run_table: RunTable) -> None:
    lines = shown(replace(run_table, name="[red]x[/red]"), 100)
    assert lines[0] == "[red]x[/red]"
    assert any(line.startswith("failed kwta | jsma | 0.01") for line in lines)


def test_run_without_results() -> None:
    lines = shown(RunTable([], "name", "run"), 80)
    assert lines == ["name", "No cell has a result.", "run run"]
