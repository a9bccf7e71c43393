"""Verdicts that hang on the network itself are asked of it where something hangs on them."""

from typing import Any

import pytest
import torch

import robench
from robench.attacks.checks import content_ids
from robench.attacks.keeping import Shown
from robench.attacks.query import Query
from robench.freezing import frozen
from robench.precision import DOUBT

from .networks import whole_view
from .waiting import wait_everywhere

ATTACKS: list[tuple[str, dict[str, Any], bool]] = [
    ("fab", {"steps": 10, "targeted": True, "targets": 3}, True),
    ("fab", {"steps": 10, "norm": "l2"}, True), ("fmn", {"steps": 30}, True),
    ("cw", {"steps": 20, "binary_search_steps": 3}, False), ("deepfool", {}, False),
    ("boundary", {"steps": 30}, True), ("pgd", {"steps": 10}, False),
    ("autoattack", {"steps": 5, "queries": 10}, True),
]
"""With settings, and whether they come by iterates in doubt that cannot be kept."""


def same(one, other):
    for what in ("success", "adversarial", "prediction", "margin", "distance", "forwards",
                 "backwards", "first_success"):
        assert torch.equal(getattr(one, what), getattr(other, what)), what


def both(monkeypatch, attacked):
    """(results, verdicts asked) with what is asked, and with all verdicts in doubt asked; of which
    there are few in float32, but for a wider doubt."""
    monkeypatch.setitem(DOUBT, "float32", 0.02)
    found = attacked()
    monkeypatch.setattr(Query, "_matters", lambda _, shown, logits: torch.ones_like(shown.valid))
    return found, attacked()


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("name", "settings", "less"), ATTACKS)
def test_what_is_not_asked_would_have_changed_nothing(
    cnn, right, monkeypatch, name, settings, less, precision, waits
):
    images, labels = right[0][:24], right[1][:24]
    attack = robench.attack(name, **settings)
    if waits:
        wait_everywhere(monkeypatch)

    def attacked():
        victim = robench.Victim(cnn, precision=precision).eval()
        victim.arrange(images)
        return attack(victim, images, labels, epsilons=[0.02, 0.1]), victim.confirmations

    (found, asked), (expected, every) = both(monkeypatch, attacked)
    for one, other in zip(found, expected, strict=True):
        same(one, other)
    # While an attack in a ball goes on, a host that waits leaves them aside in float32.
    aside = waits and precision == "float32" and attack.budget == "fixed"
    assert 0 < asked <= every or aside
    assert asked < every or aside or not less


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_nor_where_a_broken_image_goes_on(cnn, right, monkeypatch, precision):
    images, labels = right[0][:24], right[1][:24]

    def attacked():
        victim = robench.Victim(cnn, precision=precision).eval()
        victim.arrange(images)
        with frozen(victim):
            results = robench.attack("autoattack", steps=5, queries=10).climb(
                victim, images, labels, epsilons=[0.1], image_ids=content_ids(images), seed=0,
                ladder=True, to_the_end=True,
            )
        return results[0], victim.confirmations

    (found, asked), (expected, every) = both(monkeypatch, attacked)
    same(found, expected)
    assert 0 < asked < every


def test_which_candidates_may_be_kept(cnn, right):
    images, labels = right[0][:4], right[1][:4]
    _, log = whole_view(cnn, images, labels, epsilon=0.1)
    log.found[1], log.distance[1] = True, 0.05
    candidates = images.clone()
    candidates[:, 0, 0, 0] = (images[:, 0, 0, 0] - 0.07).abs()
    candidates[2] = 1 - images[2]  # outside of the ball
    candidates[3, 0, 0, 0] = -0.01  # outside of the box
    rows = torch.arange(4)

    def kept(*, smallest=False, to_the_end=False):
        shown = Shown.of(candidates, images, epsilon=0.1, norm="linf", smallest=smallest)
        return shown.may_be_kept(log, rows, smallest=smallest, to_the_end=to_the_end).tolist()

    assert kept() == [True, False, False, False]
    assert kept(to_the_end=True) == [True, True, False, False]
    assert kept(smallest=True) == [True, False, True, False]
    log.distance[1] = 0.08
    assert kept(smallest=True) == [True, True, True, False]
