"""Layouts that count images: what they say of runs that have nothing for them."""

from __future__ import annotations

import math

import pytest

from robench.errors import UserError
from robench.reporting import RunTable, render
from robench.reporting.details import Gatherer
from robench.reporting.layouts import images_of
from robench.scoring.rows import leaderboard_rows
from tests.reporting.layout_runs import cell, run_table

LAYOUTS = ("curves", "attacks", "medical", "surface")


def test_a_run_with_one_pruning_rate() -> None:
    with pytest.raises(UserError, match="the run has one pruning rate") as caught:
        render(run_table(cell("a", "pgd", 0.1, 20)), "markdown", layout="surface")
    assert "rates: [0, 0.3" in str(caught.value)


def test_two_pruning_rates_of_which_no_attack_met_both() -> None:
    table = run_table(cell("a", "pgd", 0.1, 20), cell("a", "fgsm", 0.1, 20, pruning_rate=0.3))
    with pytest.raises(UserError, match="no network of the run has two sparsities"):
        render(table, "markdown", layout="surface")


def test_a_record_that_names_no_classes() -> None:
    with pytest.raises(UserError, match="does not name the classes of 'digits'"):
        render(run_table(cell("a", "pgd", 0.1, 20)), "markdown", layout="medical")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_that_were_not_kept(layout: str) -> None:
    gatherer = Gatherer()
    rows = leaderboard_rows(gatherer.through(
        [cell("a", "pgd", 0.1, 20), cell("a", "pgd", 0.1, 20, pruning_rate=0.3)]))
    table = RunTable(rows, "chest", "run-1", details=gatherer.details())
    with pytest.raises(ValueError, match="a layout that counts images needs them"):
        render(table, "markdown", layout=layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_needs_no_more_columns_than_it_names(layout: str) -> None:
    made = [cell(model, "pgd", epsilon, 20, pruning_rate=rate) for model in "ab"
            for epsilon in (0.1, math.inf) for rate in (0.0, 0.3)]
    gatherer = Gatherer(images_of(layout))
    rows = leaderboard_rows(gatherer.through(made))
    table = RunTable(rows, "chest", "run-1", details=gatherer.details(), facts={
        "datasets": {"digits": {"classes": ["normal", "ill"]}}})
    whole = run_table(*made, facts=table.facts)
    kept = table.details.cells[0] if table.details else None
    assert kept is not None
    assert set(kept.columns) <= set(images_of(layout))
    assert render(table, "csv", layout=layout) == render(whole, "csv", layout=layout)


def test_the_same_ids_are_kept_once() -> None:
    gatherer = Gatherer(images_of("curves"))
    list(gatherer.through([cell("a", "pgd", 0.1, 20), cell("b", "pgd", 0.1, 30)]))
    one, other = gatherer.details().cells
    assert one.columns["image_id"] is other.columns["image_id"]
    assert one.columns["success"] is not other.columns["success"]
