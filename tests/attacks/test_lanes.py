"""Runs that are computed side by side find and cost what they would one after another."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import robench
from robench.attacks.log import Clean, Log
from robench.attacks.query import Query
from robench.attacks.runs_log import RunsLog
from robench.attacks.view import View
from robench.redrawn import Redrawn
from robench.victim import Victim

from .waiting import wait_everywhere

ATTACKS: list[tuple[str, dict[str, Any], tuple[float, ...]]] = [
    ("apgd", {"steps": 8, "restarts": 5}, (0.03, 0.12)),
    ("apgd", {"steps": 8, "restarts": 5, "loss": "dlr", "norm": "l2"}, (0.3, 1.0)),
    ("apgd", {"steps": 8, "restarts": 3, "eot": 2, "target": "random"}, (0.05, 0.2)),
    ("apgd-t", {"steps": 8}, (0.03, 0.12)), ("apgd-t", {"steps": 6, "restarts": 2}, (0.12,)),
    ("pgd", {"steps": 6, "restarts": 7}, (0.03, 0.12)),
    ("pgd", {"steps": 6, "restarts": 4, "norm": "l1"}, (2.0, 6.0)),
    ("pgd", {"steps": 6, "restarts": 4, "target": "random", "loss": "margin"}, (0.05, 0.2)),
    ("autoattack", {"steps": 8, "queries": 20}, (0.03, 0.12)),
    ("autoattack", {"steps": 8, "queries": 20, "norm": "l2"}, (0.3, 1.0)),
    ("autoattack-rand", {"steps": 6, "eot": 2}, (0.05,)),
]
TOLD = ("success", "adversarial", "prediction", "margin", "distance", "forwards", "backwards",
        "first_success", "gradient_dead", "unstarted")


class Passes:
    """Counts the passes of a network."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, logits = 0, Victim._logits

        def counting(*args: Any, **settings: Any) -> Any:
            self.count += 1
            return logits(*args, **settings)

        monkeypatch.setattr(Victim, "_logits", counting)

    def of(self, work: Any) -> tuple[Any, int]:
        before = self.count
        return work(), self.count - before


def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(View, "lanes", lambda _: 1)


def same(here: Any, there: Any) -> None:
    for one, other in zip(here, there, strict=True):
        for what in TOLD:
            assert torch.equal(getattr(one, what), getattr(other, what)), what
        assert one.members == other.members


@pytest.mark.parametrize(("count", "waits"), [(3, True), (16, False)])
@pytest.mark.parametrize(("name", "settings", "epsilons"), ATTACKS)
def test_as_one_after_another(
    cnn, right, monkeypatch, name, settings, epsilons, count, waits
):
    if waits:
        wait_everywhere(monkeypatch)
    images, labels = right[0][:count], right[1][:count]
    attack = robench.attack(name, **settings)
    victim = robench.Victim(cnn).eval()
    victim.arrange(images)

    def found() -> Any:
        return attack(victim, images, labels, epsilons=epsilons)

    here = found()
    one_by_one(monkeypatch)
    same(here, found())


def test_some_are_broken_by_a_later_run(cnn, right, monkeypatch):
    images, labels = right[0][:12], right[1][:12]
    attack = robench.attack("pgd", steps=3, step_size=0.04, restarts=8)

    def found() -> Any:
        return attack(cnn, images, labels, epsilons=[0.11])

    here = found()
    assert int(here[0].first_success.max()) > attack.steps + 1  # what a run shows at the most
    one_by_one(monkeypatch)
    same(here, found())


@pytest.mark.parametrize(("name", "settings", "epsilon"), [
    ("apgd", {"steps": 10, "restarts": 8}, 0.01), ("apgd-t", {"steps": 10}, 0.01),
    ("pgd", {"steps": 10, "restarts": 8}, 0.01),
    ("autoattack", {"steps": 10, "queries": 1}, 0.01),
])
def test_few_images_take_far_fewer_passes(cnn, right, monkeypatch, name, settings, epsilon):
    passes, attack = Passes(monkeypatch), robench.attack(name, **settings)
    victim = robench.Victim(cnn).eval()
    victim.arrange(right[0][:3])

    def found() -> Any:
        return attack(victim, right[0][:3], right[1][:3], epsilons=[epsilon])

    found()  # smaller pieces are tried
    here, few = passes.of(found)
    one_by_one(monkeypatch)
    there, many = passes.of(found)
    assert not bool(here[0].success.any())
    same(here, there)
    assert few < 0.4 * many


def test_a_run_that_breaks_an_image_ends_the_later_ones_of_it(monkeypatch):
    """The first target is reached at once, the others never: their runs go on no longer."""
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 8), torch.nn.Flatten()).eval()
    with torch.no_grad():
        network[0].weight.zero_()
        network[0].weight[1] = 1 / 64
        network[0].bias.copy_(torch.tensor([0.6, 0.0, -9.0, -9.5]))
    images, labels = torch.full((3, 1, 8, 8), 0.5), torch.zeros(3, dtype=torch.int64)
    victim = robench.Victim(network).eval()
    victim.arrange(images)
    passes, attack = Passes(monkeypatch), robench.attack("apgd-t", steps=50)

    def found() -> Any:
        return attack(victim, images, labels, epsilons=[0.2], image_ids=["a", "b", "c"])

    (here,), count = passes.of(found)
    assert victim.is_arranged
    assert bool(here.success.all())
    assert count < 20
    one_by_one(monkeypatch)
    same([here], found())


def test_an_image_does_not_stand_in_runs_after_the_one_that_broke_it():
    log = RunsLog.of(Log.start(torch.zeros(2, 1, 1, 1)), torch.arange(2), runs=3)
    log.found[[1 * 2 + 0, 2 * 2 + 1]] = True  # the first image by the second run, ...
    assert log.standing(torch.arange(6)).tolist() == [True, True, False, True, False, False]
    assert log.standing(torch.tensor([4, 3])).tolist() == [False, True]


@pytest.mark.parametrize("change", ["budget", "draws", "low", "mixes", "minimum", "to the end",
                                    "as it is"])
def test_where_runs_hang_on_each_other_there_is_one_lane(cnn, right, change):
    network = Redrawn(cnn, draws=2).eval() if change == "draws" else cnn
    precision = "bfloat16" if change == "low" else "float32"
    victim = robench.Victim(network, precision=precision, rowwise=change != "mixes").eval()
    victim.arrange(right[0])
    images, labels = right[0][:2], right[1][:2]
    view = Query(
        victim, images, labels, epsilon=0.1, norm="linf", smallest=change == "minimum",
        log=Log.start(images, propagations=100 if change == "budget" else None),
        rows=torch.arange(2), shared=Clean(rows=2), shared_rows=torch.arange(2),
        to_the_end=change == "to the end",
    )
    assert view.lanes() == (16 if change == "as it is" else 1)


def _logs(runs: int, images: int) -> st.SearchStrategy[list[list[tuple[int, bool, int, int]]]]:
    outcome = st.tuples(  # margin, found, forwards, backwards
        st.integers(-2, 2), st.booleans(), st.integers(1, 9), st.integers(0, 9)
    )
    return st.lists(st.lists(outcome, min_size=images, max_size=images),
                    min_size=runs, max_size=runs)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(1, 4))
def test_what_is_told_is_what_runs_in_a_row_come_to(data, runs, images):
    outcomes = data.draw(_logs(runs, images))
    before = data.draw(st.lists(st.tuples(st.integers(-2, 2), st.booleans()),
                                min_size=images, max_size=images))
    log = Log.start(torch.zeros(images + 2, 1, 1, 1))
    rows = torch.randperm(images + 2)[:images]
    log.margin[rows] = torch.tensor([float(gap) for gap, _ in before])
    log.found[rows] = torch.tensor([known for _, known in before])
    log.forwards[rows] = 100
    made = RunsLog.of(log, rows, runs=runs)
    expected = [
        {"run": -1, "margin": float(gap), "found": known, "forwards": 100, "backwards": 0,
         "first": -1} for gap, known in before
    ]
    for run, outcome in enumerate(outcomes):
        for image, (gap, breaks, forwards, backwards) in enumerate(outcome):
            place, was = run * images + image, expected[image]
            if before[image][1]:
                continue
            # A run's log begins with what was known, and keeps what is better.
            if breaks or gap < before[image][0]:
                made.margin[place] = gap
                made.best[place] = made.prediction[place] = made.distance[place] = run
            made.found[place] = breaks
            made.forwards[place], made.backwards[place] = forwards, backwards
            made.first_success[place] = forwards - 1 if breaks else -1
            if was["found"]:
                continue
            if breaks:
                was |= {"found": True, "first": was["forwards"] + forwards - 1}
            if breaks or gap < was["margin"]:
                was |= {"margin": float(gap), "run": run}
            was["forwards"] += forwards
            was["backwards"] += backwards
    made.tell(log, rows)
    for image, row in enumerate(rows.tolist()):
        was = expected[image]
        assert log.found[row] == was["found"]
        assert log.margin[row] == was["margin"]
        assert log.forwards[row] == was["forwards"]
        assert log.backwards[row] == was["backwards"]
        assert log.first_success[row] == was["first"]
        if was["run"] >= 0:
            assert log.best[row].item() == log.prediction[row] == log.distance[row] == was["run"]
    untouched = torch.ones(images + 2, dtype=torch.bool)
    untouched[rows] = False
    assert bool((log.forwards[untouched] == 0).all())
