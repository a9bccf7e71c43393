"""The audit of runs: what their images give away, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

import robench
from robench.audit.catalogue import FLAG_WORDS, TITLES
from robench.audit.finding import flags_by_row
from robench.audit.run import audit_run
from robench.errors import UserError
from tests.audit.runs import LABELS, RIGHT, SmallRun, cell, every

SOUND = (
    cell("fgsm", every(40)), cell("pgd", every(60)), cell("bim", every(59)),
    cell("noise", every(3), margin=0.0), cell("square", every(55)), cell("autoattack", every(60)),
)


def checks(*cells: object, **settings: object) -> list[str]:
    """The checks that find something in a run of these cells."""
    done = audit_run(SmallRun(cells, **settings))  # type: ignore[arg-type]
    assert all(one.rows and one.paper == "small-1" for one in done.findings)
    return [one.check for one in done.findings]


def test_a_sound_run_has_no_findings() -> None:
    assert checks(*SOUND) == []
    assert checks(cell("pgd", every(30)), cell("pgd", every(60), epsilon=0.05), ladder=False) == []


CASES = {
    # A pair that differs in b and c images has p = P(X ≥ b | b + c, ½): .031 of 5, .0625 of 4.
    "A2": ((cell("fgsm", every(45)), cell("pgd", every(40))),
           (cell("fgsm", every(44)), cell("pgd", every(40)))),
    "A7": ((cell("pgd", every(45)), cell("autoattack", every(40))),
           (cell("pgd", every(44)), cell("autoattack", every(40)))),
    "F7-noise": ((cell("noise", every(45)), cell("fgsm", every(40))),
                 (cell("noise", every(44)), cell("fgsm", every(40)))),
    "F7-transfer": (
        (cell("pgd", every(45), threat="transfer", surrogate="s"), cell("pgd", every(40))),
        (cell("pgd", every(44), threat="transfer", surrogate="s"), cell("pgd", every(40))),
    ),
    # One image more of 100 is above .2 points; one that a gradient attack broke too is not.
    "A8": ((cell("square", every(41)), cell("pgd", every(40))),
           (cell("square", every(40)), cell("pgd", every(40)))),
    "F7-clean": (
        (cell("fgsm", every(9)), cell("pgd", every(9), right=RIGHT | (np.arange(100) == 20))),
        (cell("fgsm", every(9)), cell("pgd", every(9), right=RIGHT | (np.arange(100) == 20),
                                      model="other")),
    ),
    "F6-gradient": ((cell("pgd", every(9), flags=["zero-gradient"]),),
                    (cell("pgd", every(9), flags=["stochastic"]),)),
    "F6-direction": ((cell("pgd", every(40), margin=0.5),), (cell("pgd", every(40), margin=0.0),)),
    "F6-unmoved": ((cell("pgd", [], moved=0.0, margin=0.0),),
                   (cell("pgd", [], moved=0.001, margin=0.0),)),
}


@pytest.mark.parametrize("check", CASES)
def test_what_is_wrong_is_found_and_the_nearest_run_is_not(check: str) -> None:
    wrong, near = CASES[check]
    assert checks(*wrong) == [check]
    assert checks(*near) == []


def test_monotone_in_epsilon_where_there_is_no_ladder() -> None:
    wrong = cell("pgd", every(45)), cell("pgd", every(40), epsilon=0.05)
    near = cell("pgd", every(44)), cell("pgd", every(40), epsilon=0.05)
    assert checks(*wrong, ladder=False) == ["A4"]
    assert checks(*near, ladder=False) == []
    done = audit_run(SmallRun(wrong))
    assert done.findings == ()
    assert "A4" in [one.check for one in done.unchecked]


def test_p_values_are_corrected_for_the_comparisons_of_a_victim() -> None:
    alone = cell("fgsm", every(45)), cell("pgd", every(40))
    beside = cell("fgsm", every(40), epsilon=0.05), cell("pgd", every(45), epsilon=0.05)
    assert checks(*alone) == ["A2"]
    assert checks(*alone, *beside) == []


def test_images_in_another_order_are_matched_by_name() -> None:
    record, columns, metadata = cell("pgd", every(45))
    turned = {name: np.asarray(column)[::-1] for name, column in columns.items()}
    assert checks(cell("fgsm", every(45)), (record, turned, metadata)) == []
    assert checks(cell("fgsm", every(45)), (record, columns, metadata)) == []


def test_misclassified_and_not_counted() -> None:
    record, columns, metadata = cell("pgd", every(40))
    wrong = {**columns, "success": columns["success"] & (np.arange(100) > 5)}
    assert checks((record, wrong, metadata)) == ["F6-silent"]


def test_an_attack_that_descends_the_loss() -> None:
    """PGD on the wrong side of the loss: it breaks nothing, and FGSM and noise break more."""
    descends = cell("pgd", [], margin=2.0)
    assert set(checks(cell("fgsm", every(40)), descends)) == {"A2", "F6-direction"}
    done = audit_run(SmallRun((cell("fgsm", every(40)), cell("noise", every(8), margin=0.0),
                               descends)))
    assert {one.check for one in done.findings} == {"A2", "F6-direction", "F7-noise"}
    assert all(one.severity == "serious" for one in done.findings)
    assert {row for one in done.findings for row in one.rows} >= {"pgd"}


def test_a_constant_classifier() -> None:
    """It looks robust: nothing breaks it, and its accuracy is the share of its class."""
    constant = [cell(attack, [], predictions=np.zeros(100, dtype=int), margin=-0.1)
                for attack in ("fgsm", "pgd")]
    done = audit_run(SmallRun(constant))
    (found,) = done.findings
    assert (found.check, found.severity) == ("B1", "serious")
    assert "60/100" in found.message
    assert "answers class well for 100.0 % of the images" in found.message
    assert found.rows == ("fgsm", "pgd")


@pytest.mark.parametrize(("right", "suspect"), [(69, True), (70, False)])
def test_within_the_interval_of_the_majority_share(right: int, suspect: bool) -> None:
    # The 95 % Wilson interval of 69 of 100 reaches down to 59.4 %, that of 70 to 60.4 %.
    correct = np.arange(100) < right
    found = checks(cell("pgd", [], predictions=np.where(correct, LABELS, 1 - LABELS)))
    assert found == (["B1"] if suspect else [])


def test_pruned_until_nothing_breaks_it() -> None:
    assert checks(cell("pgd", [], pruning_rate=0.7)) == ["B2"]
    assert checks(cell("pgd", every(1), pruning_rate=0.7)) == []
    assert checks(cell("pgd", [], pruning_rate=0.3)) == []


def test_alive_at_a_large_epsilon() -> None:
    # 71 of 100 are more than 60 % at 5 % (p = .015), 68 are not (p = .06).
    assert checks(cell("pgd", every(24), epsilon=0.1)) == ["A11"]
    assert checks(cell("pgd", every(27), epsilon=0.1)) == []
    assert checks(cell("pgd", every(24), epsilon=0.09)) == []
    assert checks(cell("pgd", every(24), epsilon=0.1, norm="l2")) == []


def test_findings_become_flags() -> None:
    done = audit_run(SmallRun((cell("fgsm", every(47)), cell("pgd", every(40)),
                               cell("bim", every(50)))))
    assert flags_by_row(done.findings, FLAG_WORDS) == {
        "fgsm": ("weak-attack",), "pgd": ("weak-attack",)}
    assert FLAG_WORDS.keys() == TITLES.keys()
    assert len(set(FLAG_WORDS.values())) == len(FLAG_WORDS)


def test_from_python() -> None:
    run = SmallRun((cell("fgsm", every(45)), cell("pgd", every(40))))
    assert robench.audit(run).findings == audit_run(run).findings


def test_a_run_without_outcomes() -> None:
    with pytest.raises(UserError, match="no outcomes of this run"):
        audit_run(SmallRun((), asked=3))
    assert audit_run(SmallRun((), asked=3), may_be_empty=True).findings == ()
    partly = audit_run(SmallRun(SOUND, asked=9))
    assert "3 cells have no outcomes" in [one.why for one in partly.unchecked]
