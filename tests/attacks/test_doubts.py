"""Verdicts that hang on the network itself are asked of it where something hangs on them."""

import pytest
import torch

import robench
from robench.attacks.checks import content_ids
from robench.attacks.keeping import Shown
from robench.attacks.query import Query
from robench.freezing import frozen

from .networks import whole_view

ATTACKS = [
    ("fab", {"steps": 20, "targeted": True, "targets": 3}), ("fab", {"steps": 10, "norm": "l2"}),
    ("fmn", {"steps": 40}), ("cw", {"steps": 10, "binary_search_steps": 3}), ("deepfool", {}),
    ("boundary", {"steps": 40}), ("pgd", {"steps": 10}), ("jsma", {"max_steps": 10}),
    ("autoattack", {"steps": 5, "queries": 10}),
]


def same(one, other):
    for what in ("success", "adversarial", "prediction", "margin", "distance", "forwards",
                 "backwards", "first_success"):
        assert torch.equal(getattr(one, what), getattr(other, what)), what


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("name", "settings"), ATTACKS)
def test_what_is_not_asked_would_have_changed_nothing(
    cnn, right, monkeypatch, name, settings, precision
):
    images, labels = right[0][:40], right[1][:40]
    attack = robench.attack(name, **settings)

    def attacked():
        victim = robench.Victim(cnn, precision=precision).eval()
        victim.arrange(images)
        epsilons = [4, 20] if name == "jsma" else [0.02, 0.1]
        return attack(victim, images, labels, epsilons=epsilons), victim.confirmations

    found, asked = attacked()
    monkeypatch.setattr(Query, "_matters", lambda _, shown, logits: torch.ones_like(shown.valid))
    expected, every = attacked()
    for one, other in zip(found, expected, strict=True):
        same(one, other)
    assert asked <= every
    if settings.get("targeted"):
        assert 1.5 * asked < every


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_nor_where_a_broken_image_goes_on(cnn, right, monkeypatch, precision):
    images, labels = right[0][:40], right[1][:40]

    def attacked():
        victim = robench.Victim(cnn, precision=precision).eval()
        victim.arrange(images)
        with frozen(victim):
            results = robench.attack("autoattack", steps=5, queries=10).climb(
                victim, images, labels, epsilons=[0.05], image_ids=content_ids(images), seed=0,
                ladder=True, to_the_end=True,
            )
        return results[0], victim.confirmations

    found, asked = attacked()
    monkeypatch.setattr(Query, "_matters", lambda _, shown, logits: torch.ones_like(shown.valid))
    expected, every = attacked()
    same(found, expected)
    assert asked < 0.5 * every or precision == "float32"  # in which few are in doubt here


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
