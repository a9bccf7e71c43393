"""The class a targeted attack steers to."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from robench.attacks.draws import Draws
from robench.attacks.targets import check_target, target_classes

LABELS = torch.tensor([0, 1, 2, 3, 3])
LOGITS = torch.tensor([
    [0.0, 3.0, -1.0, 2.0], [5.0, -9.0, 1.0, 0.0], [1.0, 2.0, -7.0, 0.5], [4.0, 1.0, 2.0, 9.0],
    [0.0, 0.0, 0.0, -1.0],
])


def draws(seed: int = 0) -> Draws:
    names = [f"image-{number}" for number in range(len(LABELS))]
    return Draws.keyed(names, seed=seed, attack="a", device=torch.device("cpu"))


@pytest.mark.parametrize(("target", "expected"), [
    ("least-likely", [2, 3, 3, 1, 0]),  # the lowest logit of another class
    ("next", [1, 2, 3, 0, 0]),
    (3, [3, 3, 3, 0, 0]),
])
def test_targets_by_rule(target: Any, expected: list[int]) -> None:
    assert target_classes(target, LOGITS, LABELS, draws()).tolist() == expected


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_random_targets_are_other_classes_and_reach_all_of_them(classes: int) -> None:
    seen = set()
    for seed in range(200):
        found = target_classes("random", torch.zeros(5, classes), LABELS % classes, draws(seed))
        assert bool((found != LABELS % classes).all())
        assert bool((found >= 0).all() & (found < classes).all())
        seen |= set(zip((LABELS % classes).tolist(), found.tolist(), strict=True))
    of_label_0 = {target for label, target in seen if label == 0}
    assert of_label_0 == set(range(1, classes))


def test_a_random_target_is_the_images_own() -> None:
    together = target_classes("random", LOGITS, LABELS, draws())
    rows = torch.tensor([3, 1])
    alone = target_classes("random", LOGITS[rows], LABELS[rows], draws().select(rows))
    assert alone.tolist() == together[rows].tolist()


@pytest.mark.parametrize("target", ["likely", -1, 1.5, True, None])
def test_what_is_no_target(target: Any) -> None:
    with pytest.raises(ValueError, match="target: got") as caught:
        check_target(target)
    assert "least-likely, random, next or a class number" in str(caught.value)


def test_a_class_the_network_does_not_have() -> None:
    with pytest.raises(ValueError, match="class 4, the network has 4"):
        target_classes(4, LOGITS, LABELS, draws())
