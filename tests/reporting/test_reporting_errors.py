"""What no report can be made of or read from."""

from __future__ import annotations

import pytest

from robench.errors import UserError
from robench.reporting import RunTable, render
from robench.reporting.delimited import read_csv


def test_unknown_format(run_table: RunTable) -> None:
    with pytest.raises(UserError, match="unknown report format 'markdwn'") as caught:
        render(run_table, "markdwn")
    assert caught.value.nearest == "markdown"


def test_read_csv_refuses_other_columns() -> None:
    with pytest.raises(ValueError, match="leaderboard columns: expected"):
        read_csv("a,b\n1,2\n")
    with pytest.raises(ValueError, match="leaderboard columns: expected"):
        read_csv("")


def test_read_csv_refuses_a_line_that_was_cut_short(run_table: RunTable) -> None:
    with pytest.raises(ValueError, match="shorter"):
        read_csv(render(run_table, "csv")[:-60])
