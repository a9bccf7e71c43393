"""Plans: which cells there are, in which order, and what they are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from typing import Any

import pytest

from robench.errors import UserError
from robench.plan import Cell

from .plans import FACTS, planned


def test_every_combination_is_a_cell() -> None:
    plan = planned(seeds=[0, 1], models=["small-cnn", "resnet18"], recipes=["standard", "pgd-at"])
    assert len(plan.cells) == 2 * 2 * 2 * 2 * 2 * 2 * 3
    assert len(plan.trainings) == 2 * 2 * 2
    assert len(plan.targets) == 2 * 2 * 2 * 2 * 2
    assert len(plan.ladders) == len(plan.cells) / 3
    for things in (plan.cells, plan.trainings, plan.targets, plan.ladders):
        assert len({thing.key for thing in things}) == len(things)
    assert len({target.clean_key for target in plan.targets}) == len(plan.targets)


def test_what_is_shared_is_one_artifact() -> None:
    plan = planned()
    (training,) = plan.trainings
    assert len(plan.targets) == 4
    assert {target.training.key for target in plan.targets} == {training.key}
    alone = planned(attacks=["fgsm"], pruning={"rates": [0]}, defenses=["none"])
    assert alone.trainings[0].key == training.key
    assert alone.targets[0].clean_key in {target.clean_key for target in plan.targets}


@pytest.mark.parametrize(
    ("exclusion", "left"),
    [
        ({"attack": "fgsm"}, lambda cell: cell.attack.name != "fgsm"),
        ({"epsilon": 0.05}, lambda cell: cell.epsilon.value != 0.05),
        ({"pruning_rate": 0.5, "defense": "jpeg"},
         lambda cell: not (cell.target.rate and cell.target.defense.name == "jpeg")),
    ],
)
def test_excluded_cells_are_absent(
    exclusion: dict[str, Any], left: Callable[[Cell], bool]
) -> None:
    named = [cell.label for cell in planned(exclude=[exclusion]).cells]
    assert named == [cell.label for cell in planned().cells if left(cell)]
    assert len(named) < len(planned().cells)


def test_a_victim_without_cells_is_no_target() -> None:
    plan = planned(models=["small-cnn", "resnet18"], exclude=[{"model": "resnet18"}])
    assert {training.model.name for training in plan.trainings} == {"small-cnn"}


def test_recipes_by_default() -> None:
    models = ["small-cnn", {"small-cnn": {"checkpoint": "w.pt"}, "label": "mine"}]
    found = {training.model.label: training.recipe.name for training in
             planned(models=models).trainings}
    assert found == {"small-cnn": "standard", "mine": "none"}


def test_norms() -> None:
    attacks = ["pgd", {"pgd": {"norm": "l2"}, "label": "round"}]
    assert {cell.attack.label: cell.norm for cell in planned(attacks=attacks).cells} == {
        "pgd": "linf", "round": "l2"}


def test_cells_of_one_network_stand_together() -> None:
    plan = planned(seeds=[0, 1], models=["small-cnn", "resnet18"], recipes=["standard", "none"])
    for groups in (
        groupby(plan.ladders, key=lambda ladder: ladder.target.training.key),
        groupby(plan.ladders, key=lambda ladder: ladder.target.key),
    ):
        order = [key for key, _ in groups]
        assert len(order) == len(set(order))
    for ladder in plan.ladders:
        sizes = [cell.epsilon.value for cell in ladder.cells]
        assert sizes == sorted(sizes)
        assert {(cell.target.key, cell.attack.label) for cell in ladder.cells} == {
            (ladder.target.key, ladder.attack.label)}


def test_the_id_of_a_run() -> None:
    assert planned().run_id == planned().run_id
    assert planned().run_id.startswith("m-")
    assert planned(name="other").run_id.partition("-")[2] == planned().run_id.partition("-")[2]
    assert planned(seeds=[1]).run_id != planned().run_id


def test_labels_say_what_a_cell_is() -> None:
    cell = planned(pruning={"rates": [0.5]}, defenses=["jpeg"], epsilons=["8/255"]).cells[0]
    assert cell.label == "small-cnn · standard · digits · pruned 0.5 · jpeg · fgsm ε 8/255"
    assert planned().cells[0].label == "small-cnn · standard · digits · fgsm ε 0.05"


def test_nothing_to_test_on_and_nothing_to_do() -> None:
    with pytest.raises(UserError, match="data set 'digits' has no test images") as error:
        planned(facts=replace(FACTS, test=0))
    assert error.value.where == "matrix datasets[0]"
    with pytest.raises(UserError, match="nothing is left to run") as error:
        planned(exclude=[{"attack": "fgsm"}, {"attack": "pgd"}])
    assert error.value.where == "matrix exclude"


def test_a_target_that_the_data_do_not_have_is_told_before_anything_is_trained():
    aims = [{"pgd": {"target": 9}}, {"fgsm": {"target": "next"}}, {"jsma": {"target": "all"}}]
    assert planned(attacks=aims).ladders
    with pytest.raises(UserError, match="'pgd' aims at a class that 'digits' does not") as error:
        planned(attacks=[{"pgd": {"target": 10}}])
    assert "target" in str(error.value.where)
    assert error.value.got == 10
    assert error.value.expected == "0 to 9"
